# Puts its input into a file, unless that is there already: says have or want.
#
#	$1  directory of the file, which is made
#	$2  its name
#	$3  its size
#	$4  its mode, 600 or 700
#	$5  directory for a link to it, under the same name; empty for none

umask 077
fail() {
	rm -f "$part"
	[ $# -eq 0 ] || printf '%s\n' "$*" >&2
	exit 1
}
file=$1/$2
part=$1/.part.$$
mkdir -p "$1" || exit 1
if [ -x "$file" ]; then mode=700; else mode=600; fi
if [ -f "$file" ] && [ "$mode" = "$4" ] && [ $(wc -c <"$file") -eq "$3" ]; then
	touch "$1" # nobody has to remove it soon
	echo have
else
	echo want
	cat >"$part" || fail
	[ $(wc -c <"$part") -eq "$3" ] || fail "$(wc -c <"$part") of $3 bytes have come"
	chmod "$4" "$part" && mv -f "$part" "$file" || fail
fi
if [ -n "$5" ]; then
	mkdir -p "$5" && rm -f "$5/$2" && ln -s "$file" "$5/$2"
fi
