// Package planted holds bugs: changes of production code that the simulator (internal/sim) or the exhaustive check
// (internal/explore) must find. Each is applied to a copy of its files, which the go command is told of by -overlay,
// so that the tree stays clean.
//
// Most are bugs that were found in other libraries of this kind, or in the first versions of this one.
package planted
