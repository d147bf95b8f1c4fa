# Becomes a command. Set before:
#
#	testr_token      begins the line, on each stream, before which nothing is the command's
#	testr_run        the keeper's directory
#	testr_key        what the command is called there
#	testr_instance   the instance's name, for people
#	testr_directory  where to run; absolute
#	testr_setup      what to do before, in this shell; may be empty
#	testr_export     a function that sets the environment
#	"$@"             the command

testr_file() { # fields of /proc/PID/stat, from the state on
	shift $(($# < 20 ? $# : 19))
	testr_file=$testr_run/c.$testr_key.$$.${1-}
}
testr_at=
{ read -r testr_at <"/proc/$$/stat"; } 2>/dev/null
testr_file ${testr_at##*) }
if ! { true >"$testr_file"; } 2>/dev/null; then
	printf '%s no %s\n' "$testr_token" "$({ true >"$testr_file"; } 2>&1)" >&2
	exit 125
fi
[ -e "$testr_run/d.$testr_key" ] && kill -TERM $$ # nobody wants it any more
printf '%s\n' "$testr_token"
printf '%s pid %s\n' "$testr_token" $$ >&2

if ! cd "$testr_directory"; then
	printf 'testr: instance %s: directory %s is of no use\n' "$testr_instance" "$testr_directory" >&2
	exit 125
fi
testr_export
export PWD
if [ -n "$testr_setup" ]; then
	testr_set_up() { eval "$testr_setup"; }
	testr_failed() {
		printf 'testr: instance %s: setup failed in %s with exit status %s\n' \
			"$testr_instance" "$testr_directory" "$1" >&2
		exit $(($1 ? $1 : 125))
	}
	trap 'testr_failed $?' 0
	testr_set_up </dev/null >&2
	testr_status=$?
	[ "$testr_status" = 0 ] || exit "$testr_status"
	trap - 0
fi
exec "$@"
