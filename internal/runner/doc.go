// Package runner makes a run of what was asked for: it selects tests, makes
// instances and workers of the configuration, has the supervisor run them, and
// the repository keep what happens.
package runner
