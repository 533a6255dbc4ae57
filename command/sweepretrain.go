package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark/retrain"
	"github.com/nb1shot/nb1shot/benchmark/sweep"
	"github.com/nb1shot/nb1shot/results"
)

// retrainFlags say how a sweep trains networks.
var retrainFlags = []string{"retrain", "retrain-preset", "retrain-set"}

// retraining reads how the networks of a sweep are trained: as the command line says, else
// as in the manifest, where it is there; nil where none are.
func retraining(c *cli.Context, there *sweep.Retraining, preset, form, images string) (*sweep.Retraining, error) {
	if !slices.ContainsFunc(retrainFlags, c.IsSet) {
		return there, nil
	}
	if !c.Bool("retrain") && there == nil {
		return nil, misuse(errors.New("--retrain-preset and --retrain-set need --retrain"), "see %s --help", c.Command.HelpName)
	}
	made := sweep.Retraining{Settings: map[string]string{}}
	if there != nil {
		made = sweep.Retraining{Preset: there.Preset, Settings: maps.Clone(there.Settings)}
	}
	made.Preset = cmp.Or(c.String("retrain-preset"), made.Preset, preset)
	if !slices.Contains(retrain.Presets(), made.Preset) {
		return nil, unknown("preset", made.Preset, retrain.Presets(), "choose one of "+strings.Join(retrain.Presets(), ", "))
	}
	for _, pair := range c.StringSlice("retrain-set") {
		name, value, err := assigned("retrain-set", pair, "write --retrain-set NAME=VALUE; nb1shot retrain --help lists the names")
		if err != nil {
			return nil, err
		}
		if made.Settings == nil {
			made.Settings = map[string]string{}
		}
		made.Settings[name] = value
	}
	_, err := made.Config(form, images)
	if errors.Is(err, retrain.ErrSetting) {
		for name := range made.Settings {
			if !slices.Contains(retrain.SettingNames(), name) {
				return nil, unknown("setting", name, retrain.SettingNames(), "nb1shot retrain --help lists them")
			}
		}
	}
	if err != nil {
		return nil, misuse(fmt.Errorf("--retrain: %w", err), "nb1shot retrain --help lists presets and settings")
	}
	return &made, nil
}

// form is that of the networks of what the sweep finds.
func (p *sweepPlan) form() string { return sweep.Form(p.grid.Spaces[0]) }

// openNetworkImages opens the images or the text that networks are trained on, if any are.
func (p *sweepPlan) openNetworkImages(ctx context.Context) (err error) {
	r := &p.runner
	if r.Shared.Retrain == nil {
		return nil
	}
	if p.form() == results.FormRecurrent {
		config, err := r.Shared.Retrain.Config(p.form(), r.Text.Source.Kind)
		if err == nil {
			r.NetworkText, err = openText(ctx, p.paths.images, config.Language.Words)
		}
		return err
	}
	if !generated(p.paths.images) {
		r.NetworkTrain, r.NetworkTest, err = openImages(ctx, p.paths.images, 0)
		return err
	}
	config, err := r.Shared.Retrain.Config(p.form(), p.paths.images)
	if err != nil {
		return err
	}
	r.NetworkTrain, r.NetworkTest, err = generatedImages(ctx, p.paths.images, config)
	return err
}

// manifest is what the plan knows of that of the sweep.
func (p *sweepPlan) manifest() *sweep.Manifest {
	return &sweep.Manifest{Shared: p.runner.Shared, Units: p.units}
}
