package generate

import (
	"bytes"
	"compress/gzip"
	"math"
	"strconv"
	"time"
)

// firstWeek is week 0, a Monday; lastWeek the one at which Generate ends, so that even a revived shard begins later.
var firstWeek = time.Date(2010, 1, 4, 0, 0, 0, 0, time.UTC)

const lastWeek = 836 // 2026-01-12

// snapshotName returns the name of a week's snapshot: its Monday, so that order of names is order of time.
func snapshotName(week int) string { return firstWeek.AddDate(0, 0, 7*week).Format(time.DateOnly) }

// snapshotFile returns the file's name; about half of them are compressed.
func (p shardPlan) snapshotFile(week int) string {
	if p.zipped(week) {
		return snapshotName(week) + ".ndjson.gz"
	}
	return snapshotName(week) + ".ndjson"
}

func (p shardPlan) zipped(week int) bool { return mix(p.seed, uint64(week), 4)&1 == 0 }

// snapshot appends the stored bytes of a week to out.
func (p shardPlan) snapshot(out *bytes.Buffer, zip *gzip.Writer, week int) error {
	text := p.lines(nil, week)
	if !p.zipped(week) {
		out.Write(text)
		return nil
	}
	zip.Reset(out)
	if _, err := zip.Write(text); err != nil {
		return err
	}
	return zip.Close()
}

// lines appends a week's records. Records come (one in a hundred a week) and a tenth of them is gone for some weeks.
func (p shardPlan) lines(b []byte, week int) []byte {
	growth := math.Pow(1.01, float64(max(-60, week-lastWeek)))
	n := max(int(p.records*growth), 1)
	for k := range n {
		id := uint64(k)
		if n > 1 && p.since(id, 5, week, 20)%10 == 0 {
			continue
		}
		b = p.object(b, id, week)
		b = append(b, '\n')
	}
	return b
}

// since returns a number that stays the same for period weeks, from a week that differs from record to record on.
func (p shardPlan) since(id, field uint64, week, period int) uint64 {
	h := mix(p.seed, id, field)
	return mix(h, (uint64(week)+h%uint64(period))/uint64(period))
}

// object appends one record; the counters change every few weeks, the text seldom.
func (p shardPlan) object(b []byte, id uint64, week int) []byte {
	b = append(b, `{"key":"ad-`...)
	b = append(b, pad(id)...)
	b = append(b, `","status":"`...)
	b = append(b, statuses[p.since(id, 6, week, 12)%uint64(len(statuses))]...)
	b = append(b, `","clicks":`...)
	b = strconv.AppendUint(b, p.since(id, 7, week, 3)%100_000, 10)
	b = append(b, `,"spend":`...)
	b = strconv.AppendFloat(b, float64(p.since(id, 8, week, 4)%1_000_000)/100, 'f', 2, 64)
	b = append(b, `,"budget":`...)
	b = strconv.AppendUint(b, 100*(p.since(id, 9, week, 26)%200), 10)
	b = append(b, `,"changed":"`...)
	b = append(b, snapshotName(week-int((uint64(week)+mix(p.seed, id, 7)%3)%3))...)
	b = append(b, `","tags":["`...)
	b = append(b, words[p.since(id, 10, week, 40)%uint64(len(words))]...)
	b = append(b, `","`...)
	b = append(b, words[p.since(id, 11, week, 40)%uint64(len(words))]...)
	b = append(b, `"],"text":"`...)
	for i := range p.words {
		if i > 0 {
			b = append(b, ' ')
		}
		// Each stretch of eight words changes on its own.
		h := p.since(id, 100+uint64(i/8), week, 52)
		b = append(b, words[mix(h, uint64(i))%uint64(len(words))]...)
	}
	return append(b, `"}`...)
}

func pad(id uint64) string {
	s := strconv.FormatUint(id, 10)
	return "0000000"[:max(0, 7-len(s))] + s
}

var statuses = []string{"active", "paused", "ended", "draft", "in review"}

var words = []string{
	"offer", "summer", "winter", "sale", "new", "free", "delivery", "today", "only", "shop", "online", "quality", "garden",
	"kitchen", "travel", "family", "price", "best", "discover", "collection", "original", "limited", "edition", "order",
	"save", "gift", "holiday", "music", "sport", "running", "shoes", "jacket", "leather", "wooden", "table", "chair", "light",
	"bright", "colour", "green", "blue", "fresh", "local", "organic", "coffee", "bread", "fruit", "weekend", "city", "island",
	"flight", "hotel", "night", "morning", "member", "club", "bonus", "points", "reward", "learn", "course", "book", "reader",
}
