# What testr doctor has an instance do, to see what becomes of it. $1 says what.
case $1 in
exit) exit 7 ;;
stderr)
	printf 'to stdout'
	printf 'to stderr' >&2
	;;
ask)
	printf 'ask'
	answer=$(dd bs=1 count=3 2>/dev/null)
	printf 'got %s' "$answer"
	;;
found) command -v -- "$2" >/dev/null ;;
platform) printf '%s %s\n' "$(uname -s)" "$(uname -m)" ;;
stay) # $2 is a word that nothing else has; it ends by itself
	printf 'here %s %s %s\n' "$$" "$(uname -n)" "$2"
	left=60
	while [ "$left" -gt 0 ]; do
		sleep 1
		left=$((left - 1))
	done
	;;
alive | kill) # $2 is the number of a process that stays, $3 its word
	state=no
	if kill -0 "$2" 2>/dev/null; then
		state=yes
		if [ -r "/proc/$2/cmdline" ]; then
			case $(tr '\0' ' ' <"/proc/$2/cmdline") in
			*"$3"*) ;;
			*) state=no ;;
			esac
		fi
	fi
	if [ "$1 $state" = 'kill yes' ]; then kill -9 "$2"; fi
	printf '%s %s\n' "$state" "$(uname -n)"
	;;
esac
