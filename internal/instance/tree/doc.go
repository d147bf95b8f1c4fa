// Package tree brings a source tree to an instance, over nothing but the
// commands that the instance can run.
//
// Sync makes the directory there equal to the tree here: every file, symbolic
// link and executable bit that git doesn't ignore. What has left the tree since
// an earlier Sync is removed; what was made there, such as build output, stays.
//
// # Two ways
//
// Where both ends have rsync it compares the files, by their content, and sends
// what differs. Its connection is a command on the instance: the rsync here
// starts the program Options.Rsh for its -e, which calls ServeRsh and so reaches
// a socket of Sync's, and Sync starts the rsync there.
//
// Elsewhere a shell, xargs -0, tar and one of sha256sum, shasum and openssl do;
// those of Busybox suffice. They say the SHA-256 of what is there, and what
// differs is sent as one tar stream.
//
// In both ways it is content that is compared, never times: a file that a
// checkout changed without another size within the same tick is sent. A sync
// that was cut off may leave a file half-written, with whatever time and size;
// its content differs, so that the next sync brings it again.
//
// # What is kept there
//
// The directory has a .testr/synced: the names that syncs have brought, each
// with a NUL after it. It has the new names before any of these files is sent,
// and loses the old ones when all is done: at any moment it names at least what
// a sync has brought, and so what a later one may remove. .testr/sync/lock says
// which process is at work there; others wait for it, and take it over if that
// process is dead.
//
// # Caveats
//
// Directories come with the files in them; empty ones are not brought. Owners,
// access lists and the exact mode are not either: a file is executable or not,
// and readable for others if it is here and the umask there allows it. Times
// come with the files that are sent.
//
// Whether the owner of a lock is dead can be told on its own machine alone. On
// a directory that several machines share, the lock of one that went down has to
// be removed by hand; the error says so.
package tree
