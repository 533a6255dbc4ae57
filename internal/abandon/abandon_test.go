package abandon_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/fault"
)

func TestDo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if n, err := abandon.Do(ctx, 0, func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	var f *fault.Error
	if _, err := abandon.Do(ctx, 0, func() (int, error) { panic("x") }); !errors.As(err, &f) {
		t.Errorf("error %v", err)
	}
	cancel()
	if n, err := abandon.Do(ctx, time.Minute, func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("within the patience: %d, %v", n, err)
	}
	never := make(chan struct{})
	defer close(never)
	begin := time.Now()
	if n, err := abandon.Do(ctx, time.Millisecond, func() (int, error) { <-never; return 7, nil }); n != 0 || !errors.Is(err, context.Canceled) || time.Since(begin) > 10*time.Second {
		t.Errorf("%d, %v after %v", n, err, time.Since(begin))
	}
}
