// Package generate makes a store of snapshots to try the program on: campaigns whose records change slowly from week to week.
//
// Everything is a function of the seed, the shard's number and the week; nothing is random and no time is read. So the same
// [Config] gives the same bytes, on any number of cores, and a week is the same whether it came by [Generate] or [Tick].
package generate
