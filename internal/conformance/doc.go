// Package conformance holds the library against what GenStage 1.3.2 did: its tests play recorded
// scenarios over the exported API and compare, step by step, what users of a stage can see.
//
// A scenario (testdata/scenarios) declares stages and steps, a trace (testdata/traces) says what
// GenStage did. Where we differ on purpose, docs/genstage.md says why, and testdata/ours holds
// what we do instead. Another folder is played with
//
//	go test ./internal/conformance -run Conformance -v -args -scenarios DIR -traces DIR
//
// and -update rewrites testdata/ours.
package conformance
