package nolist

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(*testing.M) {
	fmt.Println("no database")
	os.Exit(4)
}

func TestNever(*testing.T) {}
