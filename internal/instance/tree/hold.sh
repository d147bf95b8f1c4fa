# Takes the lock on a directory, says what is known of it, and holds the lock
# until its input ends. Arguments: the directory, and a mark.
#
# The lock is a file that says who has it. Creating a file that must not exist
# is the one thing that excludes others on every file system. An owner that is
# dead, of this machine, has its lock taken away by whoever made $take.
set -f
unset CDPATH
LC_ALL=C
export LC_ALL
mkdir -p "$1" && cd "$1" || exit 1
for own in .testr .testr/sync; do
	if [ -h "$own" ]; then
		echo "$1/$own is a symbolic link; make it a directory" >&2
		exit 1
	fi
	mkdir -p "$own" || exit 1
done
lock=.testr/sync/lock
take=.testr/sync/take
host=$(uname -n)
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
space=$(readlink /proc/self/ns/pid 2>/dev/null)
me="${host:--} ${boot:--} ${space:--} $$ $2"

stale() {
	set -- $1
	[ $# -eq 5 ] && [ "$1" = "${host:--}" ] || return 1
	case $4 in *[!0-9]*) return 1 ;; esac
	[ "$2" = "${boot:--}" ] || return 0
	[ "$3" = "${space:--}" ] || return 1
	! kill -0 "$4" 2>/dev/null && [ ! -d "/proc/$4" ]
}

try() {
	why=$( (
		trap '' HUP INT TERM # an empty lock would be nobody's for good
		set -C
		{ printf '%s\n' "$me" >&3 || { rm -f "$lock"; echo "can't write $lock: no space left?" >&2; exit 1; }; } 3>"$lock"
	) 2>&1) && return 0
	owner=$(cat "$lock" 2>/dev/null)
	if stale "$owner" && mkdir "$take" 2>/dev/null; then
		[ "$(cat "$lock" 2>/dev/null)" = "$owner" ] && rm -f "$lock"
		rmdir "$take"
	fi
	return 1
}

unlock() {
	trap '' HUP INT TERM # who ends us may end what we start here, too
	[ "$(cat "$lock" 2>/dev/null)" = "$me" ] && rm -f "$lock"
}

trap unlock EXIT
trap 'exit 1' HUP INT TERM
echo "$2"
missing=0
until try; do
	if [ -e "$lock" ]; then
		missing=0
		echo "busy $owner"
		read -r again || exit 0
	else # it was released just now, or can't be made
		missing=$((missing + 1))
		if [ $missing -eq 10 ]; then
			echo "$why" >&2
			exit 1
		fi
	fi
done

cd .testr/sync && rm -rf tmp next both changes && mkdir tmp && cd ../.. || exit 1
echo locked
for tool in rsync tar xargs sha256sum shasum openssl; do
	command -v $tool >/dev/null 2>&1 && echo "has $tool"
done
if [ -f .testr/synced ]; then
	echo "synced $(($(wc -c <.testr/synced)))"
	cat .testr/synced
else
	echo "synced 0"
fi
while read -r word; do
	case $word in
	keep) mv -f .testr/sync/next .testr/synced && echo kept || exit 1 ;;
	esac
done
