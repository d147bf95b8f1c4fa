# Makes room in the directory. Each argument is a letter and a path:
#
#   g  gone: a file or a link that an earlier sync brought, to be removed
#   e  a directory that this may have left empty
#   a  what has to become a directory, and may be something else
#   w  what has to become a file or a link, and may be a directory
#
# Nothing is removed behind a symbolic link: what it leads to is not of the tree.
inside() {
	up=$1
	while :; do
		up=${up%/*}
		[ "$up" != . ] || return 0
		[ ! -h "$up" ] || return 1
	done
}
failed=0
count=$#
for word do
	path=./${word#?}
	case $word in
	g*)
		if inside "$path" && { [ -h "$path" ] || { [ -e "$path" ] && [ ! -d "$path" ]; }; }; then
			set -- "$@" "$path"
		fi
		;;
	esac
done
(
	shift $count
	[ $# -eq 0 ] || rm -f "$@"
) || failed=1
for word do
	path=./${word#?}
	case $word in
	e*)
		if [ -d "$path" ] && [ ! -h "$path" ] && inside "$path"; then
			rmdir "$path" 2>/dev/null
		fi
		;;
	a*)
		if [ -h "$path" ] || { [ -e "$path" ] && [ ! -d "$path" ]; }; then
			rm -f "$path" || failed=1
		fi
		;;
	w*)
		if [ -d "$path" ] && [ ! -h "$path" ] && ! rmdir "$path" 2>/dev/null; then
			echo "$path is a directory there, with files in it that no sync brought, and a file here: move it away" >&2
			failed=1
		fi
		;;
	esac
done
exit $failed
