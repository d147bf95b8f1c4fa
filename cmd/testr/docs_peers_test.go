//go:build peers

package main

import "testing"

// TestDocumentedPythonCommands runs what the documents show about Python; see
// TestDocumentedCommands.
func TestDocumentedPythonCommands(t *testing.T) {
	testDocuments(t, "python")
}

// TestDocumentedWorker runs the worker that docs/protocol.md shows.
func TestDocumentedWorker(t *testing.T) {
	testDocuments(t, "stream")
}

// TestDocumentedWorkerOfItsOwn runs the worker that docs/writing-a-worker.md
// shows, and checks it.
func TestDocumentedWorkerOfItsOwn(t *testing.T) {
	testDocuments(t, "worker")
}
