package limit

import "testing"

func TestBurst(t *testing.T) {
	b := NewBucket(2, 1, 0)
	for i, want := range []bool{true, true, false} {
		if got := b.Allow(0); got != want {
			t.Errorf("event %d: got %v, want %v", i, got, want)
		}
	}
}

func TestRefill(t *testing.T) {
	b := NewBucket(2, 0.5, 0)
	b.Allow(0)
	b.Allow(0)
	if b.Allow(1) {
		t.Error("half a token is not enough")
	}
	if !b.Allow(2.5) {
		t.Error("a token should be back")
	}
}

func TestFull(t *testing.T) {
	b := NewBucket(3, 10, 0)
	b.Allow(0)
	if got := b.Left(60); got != 3 {
		t.Errorf("Left = %d, want 3", got)
	}
}
