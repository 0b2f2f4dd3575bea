// Package limit decides how often something may be done.
package limit

// Bucket holds tokens; each event takes one, and time brings them back.
type Bucket struct {
	Room   float64 // the most tokens
	Rate   float64 // tokens a second
	tokens float64
	last   float64
}

// NewBucket is a full bucket at the time now, in seconds.
func NewBucket(room, rate, now float64) *Bucket {
	return &Bucket{Room: room, Rate: rate, tokens: room, last: now}
}

func (b *Bucket) refill(now float64) {
	elapsed := now - b.last
	if elapsed <= 0 {
		return
	}
	b.tokens -= elapsed * b.Rate
	if b.tokens > b.Room {
		b.tokens = b.Room
	}
	b.last = now
}

// Allow says whether an event may happen now, and takes a token if so.
func (b *Bucket) Allow(now float64) bool {
	b.refill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Left is the number of whole tokens.
func (b *Bucket) Left(now float64) int {
	b.refill(now)
	return int(b.tokens)
}
