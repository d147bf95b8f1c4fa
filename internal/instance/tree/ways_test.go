package tree

import "testing"

func TestTar(t *testing.T) { testWay(t, way{by: byTar}) }
