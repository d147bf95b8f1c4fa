// Package event is what happens in a run, in order, and what that makes of
// each test.
//
// Event is the unit that is stored, shown and replayed. Outcomes folds events
// into a verdict on each test and on the run; it is the only place that knows
// what "failed" means. MarshalJSON and its inverse give packets the form that
// `testr subunit to-json` prints.
package event
