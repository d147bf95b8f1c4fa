// Package instancetest is the contract that every instance.Provider keeps, as
// tests, and what tests of instances are made of: programs to run there, and
// helpers that start them, read them and wait for them.
//
// A test package that uses it is one of its programs, too:
//
//	func TestMain(m *testing.M) { os.Exit(instancetest.Main(m, nil)) }
//
//	func TestProvider(t *testing.T) {
//		instancetest.Run(t, func(s instancetest.Settings) instance.Provider {
//			return &Provider{Dir: s.Dir, Env: s.Env, Grace: s.Grace}
//		}, instancetest.Traits{})
//	}
//
// The instances need not be this machine, but must see its files and run the
// test binary, and where they know the number of a process it must be a number
// here: a host in a network namespace will do, or a relay on this machine.
package instancetest
