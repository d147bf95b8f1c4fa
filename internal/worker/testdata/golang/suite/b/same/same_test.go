package same

import "testing"

func TestSame(*testing.T) {}
