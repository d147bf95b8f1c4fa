package worker

import "errors"

// StreamCommands returns the commands of worker=stream, for /bin/sh -c: what to
// start as a worker, and what to list the tests with. workerCommand is the option
// worker_command, which may be empty; t is of test_command and its options.
//
// The worker is worker_command, or else test_command. It gets its ids on its
// stdin, so their places in the command stay empty. The tests are listed with
// the first of these that has $LISTOPT, or else with --list of the worker.
func StreamCommands(workerCommand string, t Template, args []string) (run, list string, err error) {
	w := t
	if workerCommand != "" {
		w.Command = workerCommand
	}
	if w.Command == "" {
		return "", "", errors.New("worker=stream needs the option worker_command or test_command")
	}
	if run, err = w.Run(nil, "", args); err != nil {
		return "", "", err
	}
	lister := w
	if !lister.Lists() {
		lister = t
	}
	switch {
	case !lister.Lists():
		w.Command += " --list"
		list, err = w.Run(nil, "", args)
	case lister.ListOption == "":
		return "", "", errors.New("a command has $LISTOPT, but the option test_list_option is not set")
	default:
		list, err = lister.List(args)
	}
	if err != nil {
		return "", "", err
	}
	return run, list, nil
}
