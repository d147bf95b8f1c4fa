package instance

import "strings"

// Quote returns words of the POSIX shell, a space between them, that stand for
// these and nothing else. What has no meaning to a shell stays as it is. No word
// may have a NUL in it.
//
// It can't keep a program from taking a word that begins with "-" for an option.
func Quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; !Bare(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// Bare reports whether s is one word that means itself to a shell, in quotes or
// not.
func Bare(s string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,:/@%+"
	return s != "" && strings.Trim(s, plain) == ""
}
