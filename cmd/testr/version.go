package main

import "runtime/debug"

// built is set by the linker: the version that the Makefile builds.
var built = ""

// version is what this program calls itself.
func version() string {
	if built != "" {
		return built
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
