package tree

import _ "embed"

// The scripts that run on the instance. They need a POSIX shell, xargs -0, and
// what of rsync, tar and a tool for SHA-256 there is. File names reach them as
// arguments only, which xargs reads from a file or from standard input.
var (
	//go:embed hold.sh
	holdScript string
	//go:embed compare.sh
	compareScript string
	//go:embed change.sh
	changeScript string
)

// enterScript is how a script begins that works in a directory that exists. Its
// arguments are the directory, a mark that the output begins with, since a
// shell's own start-up files may have written something before it, and what
// else the script names.
const enterScript = `unset CDPATH; LC_ALL=C; export LC_ALL; cd "$1" || exit 1; echo "$2"
`

// batch is how many paths one shell takes: its loops double their arguments.
const batch = "200"

const (
	// compareAll has the compareScript $3 with the tool $4 for the paths in its input.
	compareAll = enterScript + `exec xargs -0 -n ` + batch + ` sh -c "$3" sh "$4"`

	// changeAll has the changeScript $3 for the words in its input, once all $4
	// bytes of it are there: half a word would name something else.
	changeAll = enterScript + `cat >.testr/sync/changes || exit 1
if [ $(($(wc -c <.testr/sync/changes))) -ne "$4" ]; then echo "the list of changes was cut off" >&2; exit 1; fi
exec xargs -0 -n ` + batch + ` sh -c "$3" sh <.testr/sync/changes`

	// noteAll keeps the $3 bytes of its input as the next record, and what is
	// recorded already and the next one as the present one.
	noteAll = enterScript + `cd .testr && cat >sync/next || exit 1
if [ $(($(wc -c <sync/next))) -ne "$3" ]; then echo "the list of files was cut off" >&2; exit 1; fi
if [ -f synced ]; then cat synced sync/next; else cat sync/next; fi >sync/both && mv -f sync/both synced`

	// unpackAll unpacks its input. Owners are not those of here; what stands in
	// the place of a file is removed and not written to.
	unpackAll = enterScript + `exec tar -x -o -f -`

	// execAll runs its further arguments. Its output is theirs alone.
	execAll = `unset CDPATH; LC_ALL=C; export LC_ALL; cd "$1" || exit 1; shift; exec "$@"`
)
