// Package simulate runs the designs of package build in fake time, over modelled work: the table of what each design reaches
// and where it fails, and a day of stale shards to choose limits for. Stages, pipelines and counting are those of a real
// build; only the store and the shard files are modelled, by the time that they take and the bytes that they hold.
//
// All of it must be called in a bubble of testing/synctest, where nothing takes longer than computing: tests have theirs, and
// [Bubble] makes one for a program.
package simulate
