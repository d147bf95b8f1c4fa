package worker

import (
	"fmt"
	"strings"
)

// Quote returns a word of the POSIX shell that stands for s and nothing else.
// What has no meaning to a shell stays as it is. A NUL can't be in a command, so
// it is an error.
//
// Quote can't keep a program from taking a word that begins with "-" for an
// option.
func Quote(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("quote %.40q for the shell: it has a NUL byte", s)
	}
	return quote(s), nil
}

// quote is Quote for what is known to have no NUL.
func quote(s string) string {
	if bare(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoteAll returns the words for all of them, which have no NUL.
func quoteAll(all ...string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, " ")
}

// bare reports whether s is one word that means itself to a shell, in quotes or
// not.
func bare(s string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,:/@%+"
	return s != "" && strings.Trim(s, plain) == ""
}
