package worker

import (
	"fmt"
	"strings"

	"testr/internal/instance"
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
	return instance.Quote(s), nil
}
