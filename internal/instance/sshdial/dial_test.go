package sshdial_test

import (
	"errors"
	"testing"

	"testr/internal/instance/sshdial"
	"testr/internal/lab"
)

func hintOf(err error) string {
	var e *sshdial.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

func TestDial(t *testing.T) {
	server := testServer(t, lab.ServerOptions{Name: "w1"})
	conn := dial(t, "w1", testOptions(t, server))
	if got := run(t, conn, "echo hello"); got != "hello" {
		t.Errorf("echo hello wrote %q", got)
	}
}
