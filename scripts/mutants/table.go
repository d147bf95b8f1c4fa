package main

// mutants are what reviewers have to be told of if it isn't noticed. A mutant
// whose line is gone says so: give it the line that does its work now.
func mutants() []mutant {
	return append(append(storing(), keeping()...), others()...)
}

// storing are those that break how events get to the disk, and from there.
func storing() []mutant {
	return []mutant{
		{name: "shown-before-commit", pkg: "repo", edits: []edit{
			{"writer.go", "good, err := w.commit(group)",
				"n := 0\nfor range eventsOf(group) {\nn++\n}\nw.mu.Lock()\nw.remember(group, n)\nw.tell()\nw.mu.Unlock()\n" +
					"_, err := w.commit(group)"},
			{"writer.go", "w.remember(group, good)", ""},
		}, tests: "TestNothingBeforeCommit"},
		{name: "synced-before-commit", pkg: "repo", edits: []edit{
			{"writer.go", "for upTo := w.next; w.stored < upTo", "for upTo := w.stored; w.stored < upTo"},
		}, tests: "TestFailingCommit"},
		{name: "cursor-skips-what-it-missed", pkg: "repo", edits: []edit{
			{"cursor.go", "return nil, nil, nil\n", "return w.recent[0].events, nil, nil\n"},
		}, tests: "TestSlowCursor"},
		{name: "error-forgotten-by-close", pkg: "repo", edits: []edit{
			{"writer.go", "err := w.shut(nil)\n", "err := w.shut(nil)\nerr = nil\n"},
		}, tests: "TestFailingCommit|TestPersistentFailure"},
		{name: "nosync", pkg: "repo", edits: []edit{
			{"open.go", "NoStatistics:    true,", "NoStatistics:    true,\nNoSync: true,"},
		}, tests: "TestPowerLoss", peers: true},
		{name: "made-under-its-name", pkg: "repo", edits: []edit{
			{"open.go", `tmp, err := os.CreateTemp(home, "new-*.db")`,
				"tmp, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)"},
			{"open.go", "defer func() { _ = os.Remove(tmp.Name()) }()", "defer func() {}()"},
			{"open.go", "err = os.Link(tmp.Name(), path)", "err = nil"},
		}, tests: "TestInitSyncs", peers: true},
		{name: "directory-not-synced", pkg: "repo", edits: []edit{
			{"open.go", "return errors.Join(syncDir(home), syncDir(dir))", "return nil"},
		}, tests: "TestInitSyncs|TestPowerLoss", peers: true},
		{name: "reused-buffer", pkg: "repo", edits: []edit{
			{"chunk.go", "v := binary.AppendUvarint(nil, c.first)", "v := binary.AppendUvarint(reused[:0], c.first)"},
			{"chunk.go", "func be64(", "var reused = make([]byte, 0, 32<<20)\n\nfunc be64("},
		}, tests: "TestDistinctEvents"},
		{name: "small-map", pkg: "repo", edits: []edit{
			{"open.go", "InitialMmapSize: initialMap,", "InitialMmapSize: initialMap & 0,"},
		}, tests: "TestReaderHoldsUpNobody"},
		{name: "chunks-out-of-place", pkg: "repo", edits: []edit{
			{"chunk.go", "c.first + uint64(c.count), raw: c.raw[:0]", "c.first + uint64(c.count) + 1, raw: c.raw[:0]"},
		}, tests: "TestDistinctEvents|TestSlowCursor"},
		{name: "tail-dropped", pkg: "repo", edits: []edit{
			{"finish.go", "return errors.Join(run.Bucket(bucketEvents).Put(be64(first), tail), run.Delete(keyTail))",
				"_ = first\nreturn run.Delete(keyTail)"},
		}, tests: "TestDistinctEvents|TestRun"},
	}
}

// keeping are those that break what is kept over a crash, or of a bad file.
func keeping() []mutant {
	return []mutant{
		{name: "failed-run-left-behind", pkg: "repo", edits: []edit{
			{"writer.go", "err := r.recoverRun()\n", "var err error\n"},
		}, tests: "TestGoOnAfterFailure"},
		{name: "killed-run-not-folded", pkg: "repo", edits: []edit{
			{"recover.go", "f, err := r.foldRun(context.Background(), id)", "f, err := newFold(), error(nil)"},
		}, tests: "TestLeftOfKilled|TestKill"},
		{name: "killed-run-not-closed", pkg: "repo", edits: []edit{
			{"open.go", "	return r.recoverRun()\n", "	return nil\n"},
		}, tests: "TestKill"},
		{name: "partial-run-replaces-failing", pkg: "repo", edits: []edit{
			{"failing.go", "	if s.Partial {", "	if s.Partial && false {"},
		}, tests: "TestFailingSet"},
		{name: "interrupted-run-is-full", pkg: "repo", edits: []edit{
			{"share.go", "info.Partial || end.Partial || info.State != Finished", "info.Partial || end.Partial"},
		}, tests: "TestFailingSet"},
		{name: "lost-test-leaves-run-full", pkg: "repo", edits: []edit{
			{"share.go", "s.Partial = s.Partial || t.Asked && !t.Settled()", "s.Partial = s.Partial || t.Asked && !t.Asked"},
		}, tests: "TestFailingSet"},
		{name: "lock-ignored", pkg: "repo", edits: []edit{
			{"open.go", "db.AllocSize = growBy",
				"db.AllocSize = growBy\n_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)"},
		}, tests: "TestBusy|TestBusyItself"},
		{name: "newer-format-accepted", pkg: "repo", edits: []edit{
			{"open.go", "case r.format == formatVersion:", "case r.format >= formatVersion:"},
		}, tests: "TestNotARepository"},
		{name: "checksum-ignored", pkg: "repo", edits: []edit{
			{"seal.go", "case n < 0 || binary.BigEndian.Uint32(sealed[n:]) != checksum(place, sealed[:n]):", "case n < 0:"},
		}, tests: "TestChangedBytes|TestLeasesDamaged"},
		{name: "reference-ignored", pkg: "repo", edits: []edit{
			{"seal.go", "case checksum(place, value) != r.sum:", "case checksum(place, value) == ^r.sum:"},
		}, tests: "TestChangedBytes"},
		{name: "full-disk-unknown", pkg: "repo", edits: []edit{
			{"errors.go", `|| strings.HasSuffix(err.Error(), ": "+errno.Error())`,
				`|| strings.HasSuffix(err.Error(), "::"+errno.Error())`},
		}, tests: "TestSpaceErrors|TestFullAtEachSize"},
		{name: "full-disk-answers-nothing", pkg: "repo", edits: []edit{
			{"open.go", "		return openUnwritten(dir)", "		return nil, err"},
		}, tests: "TestFullDiskAnswers"},
		{name: "full-disk-answers-written", pkg: "repo", edits: []edit{
			{"unwritten.go", "return tx.Rollback()", "return tx.Commit()"},
		}, tests: "TestFullDiskAnswers"},
		{name: "fault-kills", pkg: "repo", edits: []edit{
			{"open.go", "debug.SetPanicOnFault(debug.SetPanicOnFault(true))",
				"debug.SetPanicOnFault(debug.SetPanicOnFault(false))"},
		}, tests: "TestCutWhileOpen"},
	}
}

// others are those of other packages: what runs, resumes, and is left over.
func others() []mutant {
	return []mutant{
		{name: "killed-before-it-began-lost", pkg: "runner", edits: []edit{
			{"resume.go", "info.Events == 0 && info.Host", "info.Events == 0 && false && info.Host"},
		}, tests: "TestResumeOfResumed", in: "./cmd/testr"},
		{name: "resumed-run-forgotten", pkg: "runner", edits: []edit{
			{"resume.go", `!slices.Contains(info.Selection, "--resume")`, `slices.Contains(info.Selection, "--resume") || true`},
		}, tests: "TestResumeOfResumed", in: "./cmd/testr"},
		{name: "workers-outlive", pkg: "instance", edits: []edit{
			{"guardian.go", "				k.finish()\n", ""},
		}, tests: "TestGuardianParentKilled"},
		{name: "foreign-directory-removed", pkg: "tempdir", edits: []edit{
			{"tempdir.go", "info.Mode()&^os.ModeSetgid == os.ModeDir|0o700 && ", "info.IsDir() && "},
		}, tests: "TestForeign"},
		{name: "live-directory-removed", pkg: "tempdir", edits: []edit{
			{"tempdir.go", "!ours(info) || lock(f) != nil {", "!ours(info) {"},
		}, tests: "TestLeftovers"},
		{name: "leftovers-stay", pkg: "tempdir", edits: []edit{
			{"tempdir.go", "	sweep(temp)\n", ""},
		}, tests: "TestLeftovers"},
		{name: "ids-unquoted", pkg: "worker", edits: []edit{
			{"template.go", "p.text = instance.Quote(ids...)", `p.text = strings.Join(ids, " ")`},
		}, tests: "TestHostileIDs|TestTemplateExpansion"},
		{name: "no-resync", pkg: "protocol", edits: []edit{
			{"resync.go", "	g, v := r.find(held, 1, len(held), anywhere, at)\n	switch {",
				"	g, v := len(held), none\n	switch {"},
		}, tests: "TestTruncated|TestBitFlips|TestMixed"},
		{name: "stderr-not-drained", pkg: "supervisor", edits: []edit{
			{"process.go", "func (p *process) readStderr(inbox chan<- message) {\n",
				"func (p *process) readStderr(inbox chan<- message) {\nif p != nil {\nreturn\n}\n"},
		}, tests: "TestStrayOutput", in: "./cmd/testr"},
	}
}
