package worker

import "testing"

func TestProgram(t *testing.T) {
	tests := []struct{ command, want string }{
		{"python3 -m subunit.run discover . $LISTOPT $IDOPTION", "python3"},
		{"A=b ./run-tests --all", "./run-tests"},
		{"'my tool' x", "my tool"},
		{"exec ./serve", "./serve"},
		{"exec -a x ./serve", ""},
		{"make check | tee log", "make"},
		{"./build && ./run; ./more", "./build"},
		{"cd sub && ./run", ""},
		{"${PYTHON:-python} -m unittest", ""},
		{"$(find-it) x", ""},
		{"if true; then x; fi", ""},
		{"A=b", ""},
		{"", ""},
		{"'", ""},
		{"{ x; }", ""},
	}
	for _, test := range tests {
		if got := Program(test.command); got != test.want {
			t.Errorf("%s: got %q; want %q", test.command, got, test.want)
		}
	}
}
