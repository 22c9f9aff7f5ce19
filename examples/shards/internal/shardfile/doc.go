// Package shardfile keeps the history of every record of a shard in one file, and builds that file.
//
// # The file
//
// A file holds, for each key, the objects of that key in every snapshot. An object is compressed alone ([Compress]), so it
// can be read alone and its bytes depend on nothing else.
//
//	header      magic, format version, CRC
//	section*    records, then the index of these records
//	directory   per section: first key, lengths, number of records, CRC of its index
//	manifest    JSON: shard, schema, and per snapshot its name, size, checksum, records, bytes
//	footer      place, length and CRC of directory and manifest, CRC, magic
//
// Records are laid out by key, then by snapshot (bytewise by name), then by line. A section's index lists its records in the
// same order, with each one's snapshot, lengths and CRC; it is closed when it has grown to 16 KiB. To look a key up one
// reads the directory (once), then a section's index and the key's records. Every byte is under a CRC-32C. Numbers are
// little-endian, or unsigned varints.
//
// # Building
//
// A [Builder] takes compressed values in any order of snapshots, several at once if need be, and spills them to a temporary
// file; in memory it keeps 16 bytes a record and each key once. [Builder.Persist] merges them with the records of the old
// file, which are copied as they are, writes a second temporary file, syncs and renames it and syncs the folder. The result
// depends on the records alone: not on the order in which they came, nor on which of them came from an old file.
//
// [Plan] says from a listing and a [Manifest] what a shard misses.
//
// # Files
//
// All go through an [FS], one flat folder: NAME.shard is a shard, NAME.shard.tmp and NAME.shard.spill are temporary. Temporary
// files that a killed process left are removed by the next [Begin] of that shard, all of them by [CleanTemps].
package shardfile
