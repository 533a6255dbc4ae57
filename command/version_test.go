package command

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: modified}}
	}
	user := debug.Module{Path: "example.org/search", Version: "(devel)"}
	for _, test := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"go install", debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v1.2.3"}}, "v1.2.3"},
		{"checkout", debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v0.0.0-20260101000000-0123456789ab+dirty"}, Settings: vcs("true")}, "v0.0.0-20260101000000-0123456789ab+dirty"},
		{"checkout, as older Go stamps it", debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "(devel)"}, Settings: vcs("false")}, "(commit 0123456789ab)"},
		{"changed checkout", debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "(devel)"}, Settings: vcs("true")}, "(commit 0123456789ab, changed)"},
		{"go run", debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "(devel)"}}, "(development version of an unknown commit)"},
		{"another module's program", debug.BuildInfo{Main: user, Deps: []*debug.Module{{Path: modulePath, Version: "v1.2.3"}}, Settings: vcs("false")}, "v1.2.3"},
		{"with a replace directive", debug.BuildInfo{Main: user, Deps: []*debug.Module{{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "../nb1shot"}}}, Settings: vcs("false")}, "(development version of an unknown commit)"},
	} {
		if got := versionIn(&test.info); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
