# Says what stands where, for a tool that makes sums and some paths: a line for
# each path, a line "=", a line with a sum for each path that is an f or an x
# without one, and a line ".".
#
#   -      nothing          f  a file                  l SUM  a symbolic link;
#   d      a directory      x  an executable file             the sum is that of its target and a newline
#   o      something else   f SUM, x SUM  those whose name would break a line of sums
sums() {
	case $tool in
	sha256sum) sha256sum "$@" ;;
	shasum) shasum -a 256 "$@" ;;
	openssl) openssl dgst -sha256 -r "$@" ;;
	esac
}
tool=$1
shift
count=$#
newline='
'
for path do
	if [ -h "$path" ]; then
		sum=$(readlink "$path" 2>/dev/null | sums)
		echo "l ${sum%% *}"
		continue
	elif [ -d "$path" ]; then
		echo d
		continue
	elif [ ! -f "$path" ]; then
		if [ -e "$path" ]; then echo o; else echo -; fi
		continue
	fi
	kind=f
	if [ -x "$path" ]; then kind=x; fi
	case $path in
	*"$newline"*)
		sum=$(sums <"$path")
		echo "$kind ${sum%% *}"
		;;
	*)
		echo $kind
		set -- "$@" "$path"
		;;
	esac
done
shift $count
echo =
[ $# -eq 0 ] || sums "$@"
echo .
