package suite

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// TestDeaf can be ended by SIGKILL alone.
func TestDeaf(*testing.T) {
	heard := make(chan os.Signal, 8)
	signal.Notify(heard, syscall.SIGQUIT, syscall.SIGTERM)
	fmt.Printf("pids: %d.\n", os.Getpid())
	for range heard {
		fmt.Println("no signal is heard")
	}
}
