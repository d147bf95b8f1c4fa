# The keeper of what testr runs on a host, for any POSIX shell. It makes the
# directory of this connection, does what its input tells, a line each, and ends
# everything when its input ends or when it hears nothing for too long.
#
# Set before:
#
#	token      begins every line that testr is to hear
#	link       the name, below a base directory, by which commands know the directory
#	name       the name of the directory itself: link, a dot and a number; commands
#	           have it in their environment
#	bases      a function that calls base with each base directory to try, in order
#	directory  where commands will run; empty for the home directory
#	make       not empty: it is made if it isn't there
#	limit      how many seconds the keeper waits for a sign of life

umask 077
trap '' HUP INT TERM PIPE TSTP TTOU USR1 USR2

say() { printf '%s %s\n' "$token" "$*"; }

# started PID: sets at to when the process was started, in the system's own
# measure; empty if that can't be found out, or there is no such process.
started() {
	at=
	{ read -r at <"/proc/$1/stat"; } 2>/dev/null || return 0
	set -- ${at##*) }
	at=
	[ $# -lt 20 ] && return 0
	shift 19
	at=$1
}

# where FILE: sets pid and start to what a file's name tells: ….PID.START
where() {
	pid=${1##*/}
	start=${pid##*.}
	pid=${pid%.*}
	pid=${pid##*.}
}

# hit FILE SIGNAL: signals the group of the command whose file it is, unless its
# number has become another's: while there is a group, there is no process with
# its number but its leader.
hit() {
	where "$1"
	started "$pid"
	[ -z "$at" ] || [ -z "$start" ] || [ "$at" = "$start" ] || return 0
	kill "-$2" "-$pid" 2>/dev/null || [ -z "$at" ] || kill "-$2" "$pid" 2>/dev/null
}

# find KEY: sets file to that of a command.
find_file() {
	for file in "$run/c.$1".*; do
		[ -e "$file" ] && return 0
	done
	return 1
}

# tell KEY SIGNAL: signals a command, or leaves word for one that hasn't begun.
tell() {
	if find_file "$1"; then
		hit "$file" "$2"
		return 0
	fi
	{ true >"$run/d.$1"; } 2>/dev/null
	find_file "$1" && hit "$file" "$2"
	return 0
}

# over KEY: a command has ended; what is left of its group follows. A process
# with its number would be another one: then there is no such group any more.
over() {
	if find_file "$1"; then
		where "$file"
		kill -0 "$pid" 2>/dev/null || kill -KILL "-$pid" 2>/dev/null
		rm -f "$file"
	fi
	[ -e "$run/d.$1" ] && rm -f "$run/d.$1"
	[ ! -d "$run" ] || [ -e "$run/end" ] || say over "$1" # else it may have been the watcher that killed it
}

# carriers NAME: the environments, in /proc, in which a directory's name stands.
carriers() {
	[ -r /proc/self/environ ] || return 0
	if printf 'a\000b' | grep -q -F -e b; then
		grep -l -s -F -e "TESTR_KEEPER=$1" /proc/[0-9]*/environ
	else # one that doesn't look behind a NUL
		for file in /proc/[0-9]*/environ; do
			tr '\000' '\n' <"$file" | grep -q -F -x -e "TESTR_KEEPER=$1" && printf '%s\n' "$file"
		done
	fi 2>/dev/null
}

# finish DIRECTORY: kills everything that was started for a directory, wherever
# it went, and removes the directory.
finish() {
	for file in "$1"/c.*; do
		[ -e "$file" ] && hit "$file" KILL
	done
	[ "$(readlink "${1%.*}")" = "${1##*/}" ] && rm -f "${1%.*}" # another life may have it by now
	round=0
	while [ "$round" -lt 50 ]; do
		round=$((round + 1))
		found=
		for file in $(carriers "${1##*/}"); do
			pid=${file#/proc/}
			kill -KILL "${pid%%/*}" 2>/dev/null && found=1
		done
		[ -z "$found" ] && break
	done
	rm -rf "$1"
}

# written FILE: sets line to the first line of a file, without a program: with
# many connections to one machine there are many to read.
written() {
	line=
	{ read -r line <"$1"; } 2>/dev/null
}

# identity says where numbers of processes mean what they mean here: on this
# machine since it was started, and not in another container of it.
written /proc/sys/kernel/random/boot_id
identity="$line $(readlink /proc/self/ns/pid 2>/dev/null)"

# kept DIRECTORY: whether its keeper lives, as far as one can tell.
kept() {
	for file in "$1"/k.*; do
		[ -e "$file" ] && written "$file" && [ "$line" = "$identity" ] || return 0
		where "$file"
		started "$pid"
		[ -z "$start" ] || [ "$at" = "$start" ] && return 0
	done
	return 1
}

# repair: ends what earlier connections of this testr have left, and what others
# have whose keeper was killed.
repair() {
	for old in "${run%/*}"/testr-*.*; do
		[ -d "$old" ] && [ -O "$old" ] && [ ! -h "$old" ] && [ "$old" != "$run" ] || continue
		case $old in
		"${run%/*}/$link".*) ;;
		*) kept "$old" && continue ;;
		esac
		finish "$old"
	done
	# Of what stays, remove what nobody has used for long.
	[ -d "$HOME/.cache/testr" ] || return 0
	find "$HOME/.cache/testr/." ! -name . -prune -type d -name '[0-9a-f]*' -mtime +30 -exec rm -rf {} +
}

# watch: starts the watcher, which ends everything when the keeper was killed or
# hears nothing. USR1 is a sign of life; USR2 one that may be the last for long.
watch() {
	(
		trap 'silence=0 held=' USR1
		trap 'held=1' USR2
		silence=0 held=
		while [ -d "$run" ] && kill -0 $$ 2>/dev/null; do
			[ -n "$held" ] || silence=$((silence + 1))
			[ "$silence" -gt "$limit" ] && break
			sleep 1
		done
		{ true >"$run/end"; } 2>/dev/null
		finish "$run"
		kill -KILL $$
	) </dev/null >/dev/null 2>&1 &
	watcher=$!
}

# base DIRECTORY: makes the keeper's directory there, if it can.
run= trouble=
base() {
	[ -z "$run" ] || return 0
	started $$
	if trouble=$(
		{
			{ [ -d "$1" ] || mkdir -p "$1"; } && mkdir "$1/$name" &&
				printf '%s\n' "$identity" | cat >"$1/$name/k.$$.$at" &&
				{ [ ! -e "$1/$link" ] && [ ! -h "$1/$link" ] || rm -f "$1/$link"; } && ln -s "$name" "$1/$link"
		} 2>&1
	); then
		run=$1/$name
	else
		say trouble "in $1: $trouble"
		rm -rf "$1/$name" 2>/dev/null
	fi
}

: "${HOME:=/}"
bases
[ -n "$run" ] || exit 1
watch
say run "$run"
say home "$HOME"
system=$(uname -sm)
say os "${system%% *}"
say machine "${system#* }"
say processors "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null)"
if [ -n "$directory" ]; then
	case $directory in
	/*) ;;
	*) directory=$HOME/$directory ;;
	esac
	[ -z "$make" ] || [ -d "$directory" ] || why=$(mkdir -p "$directory" 2>&1)
	if [ -e "$directory" ] && [ ! -d "$directory" ]; then
		say closed 'it is no directory'
	elif [ ! -d "$directory" ]; then
		say missing "${why-}"
	else
		why=$(cd "$directory" 2>&1) || say closed "$why"
	fi
fi
say ready
repair </dev/null >/dev/null 2>&1 &

while read -r verb key signal; do
	case $verb in
	beat) kill -USR1 "$watcher" 2>/dev/null || watch ;;
	hold) kill -USR2 "$watcher" 2>/dev/null || watch ;;
	tell) tell "$key" "$signal" ;;
	over) over "$key" ;;
	clock) say clock "$(date '+%s %N')" ;;
	end) break ;;
	esac
done
kill -KILL "$watcher" 2>/dev/null
finish "$run"
say bye
