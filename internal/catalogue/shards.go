package main

// shards are those of examples/shards: the library's use case, for real.
var shards = []row{
	{id: "T51", what: "memory does not grow with the snapshot", tests: []string{build + "TestNothingStaysOfAPersistedShard", build + "TestMemoryDoesNotGrowWithStreamedBodies", shardStore + "TestADecoderHoldsOneLine"}, ci: 128, long: 1024, unit: "MiB", note: "of one body, made as it is read, by the decoder alone and by a whole build with -hold stream"},
	{id: "T52", what: "the process is killed", tests: []string{command + "TestKilledAtAnyPoint"}, ci: 60, long: 200, unit: "points"},
	{id: "T53", what: "10,000 stale shards and crashes: none is lost, none built twice", tests: []string{build + "TestNoStaleShardIsLostByACrash"}, ci: 2, long: 20, unit: "rounds", note: "each with crashes until all are built"},
	{id: "T54", what: "power fails: whatever was not synced is lost or torn", tests: []string{shardFile + "TestCrashAtEveryOperationLeavesOldOrNew", shardFile + "TestTheCrashTestSeesEverySync", build + "TestACrashAtEveryOperationOfABuild"}, ci: 1_000, long: 8_000, unit: "crashes"},
	{id: "T55", what: "snapshots cut, with flipped bits, empty, of another length", tests: []string{shardStore + "TestEveryTruncationIsFound", shardStore + "TestFlippedBitsAreFound", shardStore + "TestTheChecksumOfTheListing", build + "TestBadSnapshotsFailTheirShardOnly"}, ci: 1_300, long: 10_300, unit: "damages", note: "a bit of a plain file is found by the listing's checksum alone; there are no partial shards"},
	{id: "T56", what: "full and failing disks: the old shard stays, nothing else does", tests: []string{shardFile + "TestEveryFailingOperationLeavesAWholeFileAndNoTemporary", shardFile + "TestADiskThatIsFullAtAnyByte", build + "TestAFullDiskIsWaitedFor", command + "TestAFullFileSystem"}, ci: 100, long: 100, unit: "failures"},
	{id: "T57", what: "a store that answers badly", tests: []string{build + "TestAStoreThatAnswersBadly", build + "TestABrokenBodyIsResumedWhereItBroke", build + "TestASnapshotThatChangesInMidBody", build + "TestPausesAreJittered"}, ci: 21, long: 21, unit: "stores"},
	{id: "T58", what: "a store that is slow, or stalls", tests: []string{build + "TestASlowSnapshotHoldsNobodyUp", build + "TestTheTimeOfATryGrowsWithTheSize"}, ci: 3, long: 3, unit: "stores"},
	{id: "T59", what: "names that lead elsewhere", tests: []string{build + "TestNamesFromAHostileStore", shardStore + "TestUnusableShardsNameTheFileAndLeaveOthersUsable", shardFile + "TestBuilderRefuses"}, ci: 25, long: 25, unit: "names"},
	{id: "T60", what: "bombs", tests: []string{shardStore + "TestBombsGoOffAtTheirBeginning"}, ci: 8, long: 8, unit: "bombs"},
	{id: "T61", what: "two on one folder; the lock of a dead owner", tests: []string{command + "TestADeadOwnersFolderIsTakenOverByOne", shardFile + "TestLockHasOneOwner", shardFile + "TestDeadOwnersLockIsTakenOverOnce"}, ci: 6, long: 6, unit: "processes"},
	{id: "T62", what: "the process is stopped for a while, clocks jump", tests: []string{command + "TestStoppedAndContinued", command + "TestTimesOfFilesMeanNothing"}, ci: 4, long: 4, unit: "pauses and jumps", note: "what waits does so by the monotonic clock: a jump of the other one is seen in the times of the status alone, and by a file's time, which means nothing"},
	{id: "T63", what: "a crash between persisting and telling: built again at most, never lost, the same bytes", tests: []string{build + "TestACrashAtEveryOperationOfABuild"}, ci: 500, long: 2_000, unit: "crashes"},
}

const (
	build      = "examples/shards/internal/build."
	command    = "examples/shards/internal/command."
	shardFile  = "examples/shards/internal/shardfile."
	shardStore = "examples/shards/internal/store."
)
