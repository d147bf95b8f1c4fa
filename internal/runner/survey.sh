# Says what there is on a host, a line each. $1 is a directory, or empty.
#
#   home PATH      the home directory
#   there PATH     the directory is there, and can be used
#   closed WHY     it is there, and can't be
#   parent PATH    it is not there, and could not be made in this one
#   synced         a source tree was brought to it
#   tools NAMES    of those that bring one
echo "home $(pwd)"
tools=
for tool in rsync tar xargs sha256sum shasum openssl; do
	if command -v "$tool" >/dev/null 2>&1; then tools="$tools $tool"; fi
done
echo "tools$tools"
directory=${1:-.}
case $directory in
/*) ;;
*) directory=./$directory ;;
esac
if why=$(unset CDPATH && cd "$directory" 2>&1) && cd "$directory"; then
	echo "there $(pwd)"
	if [ -e .testr/synced ]; then echo synced; fi
elif [ -e "$directory" ] || [ -h "$directory" ]; then
	echo closed $why
else
	parent=$directory
	while [ ! -e "$parent" ]; do
		case $parent in
		*/*) parent=${parent%/*} ;;
		*) parent=. ;;
		esac
		parent=${parent:-/}
	done
	if [ ! -d "$parent" ] || [ ! -w "$parent" ]; then echo "parent $parent"; fi
fi
exit 0
