package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppendCheck(t *testing.T) {
	checks := []Check{
		{Level: LevelOK, About: "configuration", Detail: "tests run on a, b"},
		{Level: LevelWarning, About: "a: clock", Detail: "it is 1h0m0s ahead", Place: ".testr.conf:3", Fix: "set it"},
		{Level: LevelFailure, About: "build-17.example.com: host key", Detail: "it says\n\x1b]0;x\x07\n",
			Fix: "write\n[DEFAULT]\ttoo"},
	}
	var got, coloured []byte
	for _, c := range checks {
		got = AppendCheck(got, c, false)
		coloured = AppendCheck(coloured, c, true)
	}
	want := `ok    configuration              tests run on a, b
warn  a: clock                   it is 1h0m0s ahead
      at .testr.conf:3
      fix: set it
FAIL  build-17.example.com: host key it says
        \x1b]0;x\x07
      fix: write
        [DEFAULT]\ttoo
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("without colours (-want +got):\n%s", diff)
	}
	want = "\x1b[32mok  \x1b[0m  configuration              tests run on a, b\n" +
		"\x1b[33mwarn\x1b[0m  a: clock                   it is 1h0m0s ahead\n      at .testr.conf:3\n      fix: set it\n" +
		"\x1b[31mFAIL\x1b[0m  build-17.example.com: host key it says\n        \\x1b]0;x\\x07\n      fix: write\n" +
		"        [DEFAULT]\\ttoo\n"
	if diff := cmp.Diff(want, string(coloured)); diff != "" {
		t.Errorf("with colours (-want +got):\n%s", diff)
	}
}
