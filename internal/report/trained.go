package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/plots"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
	"github.com/nb1shot/nb1shot/spaces/darts"
)

// arrangeBeside sorts runs on other images: those of one setting together.
func arrangeBeside(runs []*results.History) ([][]results.Curve, error) {
	settings := map[results.Provenance][]*results.History{}
	for _, h := range runs {
		p := h.Run.Provenance.Setting()
		settings[p] = append(settings[p], h)
	}
	var all [][]results.Curve
	for _, runs := range settings {
		curves, err := results.Group(runs)
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(curves, plots.CompareCurves)
		all = append(all, curves)
	}
	slices.SortFunc(all, func(a, b []results.Curve) int {
		p, q := a[0].Provenance, b[0].Provenance
		return cmp.Or(cmp.Compare(p.Images, q.Images), cmp.Compare(p.ImagesDigest, q.ImagesDigest), cmp.Compare(p.Preset, q.Preset), cmp.Compare(p.Scale, q.Scale))
	})
	return all, nil
}

// manner is what evaluations on several kinds of images share.
type manner struct{ form, preset, engine, precision string }

func mannerOf(k results.EvaluationKey) manner {
	return manner{k.Form, k.Provenance.Preset, k.Provenance.Engine, k.Provenance.Precision}
}

// trained is curves of one setting of searches with runs whose networks were trained
// alike.
type trained struct {
	curves []results.Curve
	key    results.EvaluationKey
	others int // evaluations in the same manner that were made otherwise and do not count
}

// manners lists what was trained, for each manner of training those of one setting of
// searches together: the manner of most runs first.
func (s *study) manners() [][]trained {
	found := map[manner][]trained{}
	count := map[manner]int{}
	for _, curves := range slices.Concat([][]results.Curve{s.curves}, s.beside) {
		var runs []*results.History
		for _, c := range curves {
			runs = append(runs, complete(c)...)
		}
		last := map[manner]int{} // index in found, of this setting
		for _, g := range results.GroupEvaluations(runs, results.PartTest) {
			m := mannerOf(g.Key)
			if i, there := last[m]; there {
				found[m][i].others += len(g.Runs)
				continue
			}
			last[m] = len(found[m])
			found[m] = append(found[m], trained{curves: curves, key: g.Key})
			count[m] += len(g.Runs)
		}
	}
	order := slices.SortedFunc(maps.Keys(found), func(a, b manner) int {
		return cmp.Or(-cmp.Compare(count[a], count[b]), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	var all [][]trained
	for _, m := range order {
		all = append(all, found[m])
	}
	return all
}

// over summarises a number of the evaluations of a curve.
func (t trained) over(c results.Curve, of func(results.Evaluation) *float64) statistic {
	return overRuns(c, func(h *results.History) *float64 {
		if h.Evaluation == nil || h.Evaluation.Key() != t.key {
			return nil
		}
		return of(*h.Evaluation)
	})
}

func testError(e results.Evaluation) *float64 { return new(e.TestError()) }

// spaces lists those on which networks were trained, ascending.
func (t trained) spaces() (all []spaces.Name) {
	for _, c := range t.curves {
		if t.over(c, testError).n > 0 {
			all = append(all, c.Space)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// curve returns that of a name on a space.
func (t trained) curve(space spaces.Name, name string) (results.Curve, bool) {
	i := slices.IndexFunc(t.curves, func(c results.Curve) bool { return c.Space == space && plots.CurveName(c) == name })
	if i < 0 {
		return results.Curve{}, false
	}
	return t.curves[i], true
}

// trainedTables are of networks that were trained from scratch: in the form of the paper's
// Table 4, all spaces and images side by side, and in that of its Table 1 for each.
func (s *study) trainedTables() (all []table) {
	for i, parts := range s.manners() {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("-%d", i+1)
		}
		all = append(all, trainedErrors(parts, suffix))
		kinds := map[string]bool{}
		for _, t := range parts {
			kinds[t.key.Provenance.Images] = true
		}
		used := map[string]bool{}
		for _, t := range parts {
			for _, space := range t.spaces() {
				name := "trained-" + space.FileName()
				if len(kinds) > 1 {
					name += "-" + t.key.Provenance.Images
				}
				for base, n := name, 2; used[name]; n++ {
					name = fmt.Sprintf("%s-%d", base, n)
				}
				used[name] = true
				all = append(all, trainedNetworks(t, space, name+suffix))
			}
		}
	}
	return all
}

// trainedErrors has a column for each space and images.
func trainedErrors(parts []trained, suffix string) table {
	t := table{name: "trained-error" + suffix, title: "Test error after training from scratch (%)"}
	var names []string
	kinds := map[string]bool{}
	for _, part := range parts {
		kinds[part.key.Provenance.Images] = true
		for _, c := range part.curves {
			if name := plots.CurveName(c); part.over(c, testError).n > 0 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		t.rows = append(t.rows, row{name: name})
	}
	keys := map[string]int{}
	for _, part := range parts {
		for _, space := range part.spaces() {
			key, title := space.FileName()+"_trained_error", fmt.Sprintf("Space %s", space)
			if len(kinds) > 1 {
				key, title = part.key.Provenance.Images+"_"+key, plots.ImagesName(part.key.Provenance.Images)+", "+string(space)
			}
			if keys[key]++; keys[key] > 1 { // another setting of the same images
				key += fmt.Sprintf("_%d", keys[key])
				title += fmt.Sprintf(" (%d)", keys[key])
			}
			t.columns = append(t.columns, column{key, title, percent})
			for i := range t.rows {
				r := &t.rows[i]
				e := entry{}
				if c, ok := part.curve(space, r.name); ok {
					e.statistic = part.over(c, testError)
					e.paper = paperError(part.key, c)
				}
				r.entries = append(r.entries, e)
				r.runs = max(r.runs, e.n)
			}
			t.markBest(len(t.columns) - 1)
		}
	}
	most := 0
	for _, r := range t.rows {
		most = max(most, r.runs)
	}
	t.caption = trainedCaption(parts, fmt.Sprintf("Test error of the network of the architecture that a search ended with, trained from scratch, after the last epoch, in percent: mean ± standard deviation over the finished runs that were trained, up to %d %s. "+
		"In each column the lowest mean is bold, the next one underlined. As the paper's Tables 1 and 4, whose errors are in grey.", most, plural("seed", most)))
	return t
}

// paperErrors are test errors of networks trained from scratch, in percent, by images and
// space: on the DARTS space those of the paper's Table 1, on the others those of its Table 4.
// Of Table 4 only the rows of DARTS were compared with a second source, Table 3 of Wang et
// al., ICLR 2021.
var paperErrors = map[string]map[spaces.Name]map[string]float64{
	results.CIFAR10: {
		"darts":    {"darts": 3.00, "darts-2nd": 2.76, "pc-darts": 2.57, "p-darts": 2.50, "sdarts-rs": 2.67, "sdarts-adv": 2.61},
		"darts-s1": {"darts": 3.84, "pc-darts": 3.11, "darts-es": 3.01, "r-darts-dp": 3.11, "r-darts-l2": 2.78, "sdarts-rs": 2.78, "sdarts-adv": 2.73},
		"darts-s2": {"darts": 4.85, "pc-darts": 3.02, "darts-es": 3.26, "r-darts-dp": 3.48, "r-darts-l2": 3.31, "sdarts-rs": 2.75, "sdarts-adv": 2.65},
		"darts-s3": {"darts": 3.34, "pc-darts": 2.51, "darts-es": 2.74, "r-darts-dp": 2.93, "r-darts-l2": 2.51, "sdarts-rs": 2.53, "sdarts-adv": 2.49},
		"darts-s4": {"darts": 7.20, "pc-darts": 3.02, "darts-es": 3.71, "r-darts-dp": 3.58, "r-darts-l2": 3.56, "sdarts-rs": 2.93, "sdarts-adv": 2.87},
	},
	results.CIFAR100: {
		"darts-s1": {"darts": 29.46, "pc-darts": 24.69, "darts-es": 28.37, "r-darts-dp": 25.93, "r-darts-l2": 24.25, "sdarts-rs": 23.51, "sdarts-adv": 22.33},
		"darts-s2": {"darts": 26.05, "pc-darts": 22.48, "darts-es": 23.25, "r-darts-dp": 22.30, "r-darts-l2": 22.24, "sdarts-rs": 22.28, "sdarts-adv": 20.56},
		"darts-s3": {"darts": 28.90, "pc-darts": 21.69, "darts-es": 23.73, "r-darts-dp": 22.36, "r-darts-l2": 23.99, "sdarts-rs": 21.09, "sdarts-adv": 21.08},
		"darts-s4": {"darts": 22.85, "pc-darts": 21.50, "darts-es": 21.26, "r-darts-dp": 22.18, "r-darts-l2": 21.94, "sdarts-rs": 21.46, "sdarts-adv": 21.25},
	},
	results.SVHN: {
		"darts-s1": {"darts": 4.58, "pc-darts": 2.47, "darts-es": 2.72, "r-darts-dp": 2.55, "r-darts-l2": 4.79, "sdarts-rs": 2.35, "sdarts-adv": 2.29},
		"darts-s2": {"darts": 3.53, "pc-darts": 2.42, "darts-es": 2.60, "r-darts-dp": 2.52, "r-darts-l2": 2.51, "sdarts-rs": 2.39, "sdarts-adv": 2.35},
		"darts-s3": {"darts": 3.41, "pc-darts": 2.41, "darts-es": 2.50, "r-darts-dp": 2.49, "r-darts-l2": 2.48, "sdarts-rs": 2.36, "sdarts-adv": 2.40},
		"darts-s4": {"darts": 3.05, "pc-darts": 2.43, "darts-es": 2.51, "r-darts-dp": 2.61, "r-darts-l2": 2.50, "sdarts-rs": 2.46, "sdarts-adv": 2.42},
	},
}

// paperError is the paper's test error of an algorithm on a space as a fraction, for
// stand-ins that on CIFAR-10; nil where none is known. Table 1 has P-DARTS and PC-DARTS on
// the space of 8 operations as well.
func paperError(k results.EvaluationKey, c results.Curve) *float64 {
	images, space := k.Provenance.Images, c.Space
	if standIn, _ := k.Provenance.StandIns(); standIn {
		images = results.CIFAR10
	}
	if space == "darts8" {
		space = "darts"
	}
	x, ok := paperErrors[images][space][c.Algorithm]
	if !ok || c.Variant != "" || k.Form != results.FormCIFAR {
		return nil
	}
	return new(x / 100)
}

// paperDays are the days of a GPU that the paper's Table 1 has for searches.
var paperDays = map[string]float64{"darts": 0.4, "darts-2nd": 1, "pc-darts": 0.1, "p-darts": 0.3, "sdarts-rs": 0.4, "sdarts-adv": 1.3}

// paperParameters are those of the paper's Table 1, in millions.
var paperParameters = map[string]float64{"darts": 3.3, "darts-2nd": 3.3, "pc-darts": 3.6, "p-darts": 3.4, "sdarts-rs": 3.4, "sdarts-adv": 3.3}

// trainedNetworks has a row for each algorithm on a space.
func trainedNetworks(t trained, space spaces.Name, name string) table {
	cost, unit, per := "search_hours", "h", 3600.0
	if t.key.Provenance.Engine == "cuda" {
		cost, unit, per = "search_gpu_days", "GPU-days", 86400
	}
	table := table{
		name: name, title: fmt.Sprintf("Networks trained from scratch on %s, space %s", plots.ImagesName(t.key.Provenance.Images), space),
		columns: []column{
			{"n", "n", nil}, {"test_error", "Test error (%)", percent}, {"best_test_error", "Best seed (%)", lowest}, {"train_error", "Training error (%)", percent},
			{"parameters", "Parameters (M)", significantMillions}, {"macs", "Multiply-adds (M)", significantMillions},
			{cost, fmt.Sprintf("Search (%s)", unit), significant}, {"training_hours", "Training (h)", significant},
		},
	}
	onDARTSSpace := space == "darts" || space == "darts8"
	if onDARTSSpace {
		table.columns = append(table.columns, column{"paper_gpu_days", "Paper's search (GPU-days)", nil})
	}
	for _, c := range t.curves {
		errs := t.over(c, testError)
		if c.Space != space || errs.n == 0 {
			continue
		}
		best := 1.0
		t.over(c, func(e results.Evaluation) *float64 {
			best = min(best, e.TestError())
			return nil
		})
		number := func(of func(results.Evaluation) float64) entry {
			return entry{statistic: t.over(c, func(e results.Evaluation) *float64 { return new(of(e)) })}
		}
		parameters := number(func(e results.Evaluation) float64 { return float64(e.Parameters) })
		if x, ok := paperParameters[c.Algorithm]; ok && onDARTSSpace && c.Variant == "" {
			parameters.paper = new(1e6 * x)
		}
		search := entry{statistic: overRuns(c, func(h *results.History) *float64 {
			if h.Evaluation == nil || h.Evaluation.Key() != t.key {
				return nil
			}
			if x := h.Evaluation.SearchSeconds; x != nil {
				return new(*x / per)
			}
			if x, ok := stability.Of(h, stability.Anchor{})[stability.Seconds]; ok {
				return new(x / per)
			}
			return nil
		})}
		r := row{plots.CurveName(c), errs.n, []entry{
			{text: fmt.Sprint(errs.n)}, {statistic: errs, paper: paperError(t.key, c)}, {statistic: statistic{n: errs.n, mean: best}},
			number(func(e results.Evaluation) float64 { return 1 - e.Train.Accuracy }), parameters, number(func(e results.Evaluation) float64 { return float64(e.MACs) }),
			search, number(func(e results.Evaluation) float64 { return e.Seconds / 3600 }),
		}}
		if onDARTSSpace {
			days := "–"
			if x, ok := paperDays[c.Algorithm]; ok && c.Variant == "" {
				days = fmt.Sprintf("%g", x)
			}
			r.entries = append(r.entries, entry{text: days})
		}
		table.rows = append(table.rows, r)
	}
	table.markBest(1)
	note := "In grey the errors and parameters of the paper's Table 1 (quirk C26), which also has the days of a GPU. "
	if !onDARTSSpace {
		note = "In grey the errors of the paper's Table 4. "
	}
	table.caption = trainedCaption([]trained{t}, "The networks of the architectures that the searches ended with, trained from scratch: test error after the last epoch, the lowest among the seeds, which is chosen by test images and no estimate, and the error in the last epoch of the training, with its augmentation and drop path; "+
		"parameters without the auxiliary head, and multiply-adds for one image, both in millions; wall time of search and training on the machine that ran them. Mean ± standard deviation over n finished runs. "+note+
		"The paper counts search cost in days of one GPU, which these times are not.")
	return table
}

// lowest writes the lowest of some fractions, without its unit.
func lowest(s statistic) string {
	s.n = min(s.n, 1)
	return percent(s)
}

// significantMillions writes a number in millions to three digits.
func significantMillions(s statistic) string {
	s.mean, s.std = s.mean/1e6, s.std/1e6
	return significant(s)
}

// trainedCaption adds to a text how the networks were trained, on what, and what is unlike
// the paper.
func trainedCaption(parts []trained, text string) caption {
	var how, searched, unlike []string
	for _, t := range parts {
		k := t.key
		p := k.Provenance
		line := fmt.Sprintf("Trained on %s%s: preset %s, %s, %d epochs, batch %d, cutout %d, drop path %g, auxiliary weight %g; tested on %d. Engine: %s, %s.",
			plots.ImagesName(p.Images), standInMark(p), p.Preset, p.Scale, k.Recipe.Epochs, k.Recipe.Batch, k.Recipe.Cutout, k.Recipe.DropPath, k.Recipe.AuxiliaryWeight,
			k.Recipe.TestImages, p.Engine, p.Precision)
		if t.others > 0 {
			line += fmt.Sprintf(" Evaluations made otherwise, which do not count: %d.", t.others)
		}
		how = append(how, line)
		searched = append(searched, "Searches: "+provenance(t.curves))
		differs := recipeDepartures(k)
		for _, d := range departures(t.curves, false) {
			differs = append(differs, "in the searches "+d)
		}
		for _, d := range differs {
			if !slices.Contains(unlike, d) {
				unlike = append(unlike, d)
			}
		}
	}
	notes := slices.Concat([]string{text}, how, searched, []string{unlikePaper(unlike)})
	return caption{alone: paragraphs(notes...), page: paragraphs(slices.Concat([]string{text}, how, []string{unlikePaper(unlike)})...)}
}

func standInMark(p results.Provenance) string {
	if images, _ := p.StandIns(); images {
		return ", a stand-in"
	}
	return ""
}

// recipeDepartures lists in what a recipe differs from the paper's for these images; for a
// stand-in, from that for CIFAR-10.
func recipeDepartures(k results.EvaluationKey) (all []string) {
	r := k.Recipe
	if k.Form == results.FormNASBench101 {
		return nil // the recipe is that of NAS-Bench-101, which the paper only looks up
	}
	paper := results.Recipe{Epochs: 600, Batch: 96, Channels: darts.CIFARNetwork.Channels, Cells: darts.CIFARNetwork.Cells, Side: 32, TrainImages: 50000, Cutout: 16, DropPath: 0.2, AuxiliaryWeight: 0.4}
	switch {
	case k.Form == results.FormImageNet:
		paper = results.Recipe{Epochs: 250, Batch: 1024, Channels: darts.ImageNetNetwork.Channels, Cells: darts.ImageNetNetwork.Cells, Side: 224, TrainImages: 1281167, AuxiliaryWeight: 0.4}
	case k.Provenance.Images == results.CIFAR100 || k.Provenance.Images == results.SVHN:
		paper.Cells, paper.Channels = 8, 16
	}
	if k.Provenance.Images == results.SVHN {
		paper.TrainImages = 73257
	}
	for _, m := range []struct {
		ours, paper float64
		what        string
	}{
		{float64(r.Cells), float64(paper.Cells), "networks of %g cells instead of %g"},
		{float64(r.Channels), float64(paper.Channels), "networks of %g channels instead of %g"},
		{float64(r.Epochs), float64(paper.Epochs), "trained for %g epochs instead of %g"},
		{float64(r.Batch), float64(paper.Batch), "trained with batches of %g images instead of %g"},
		{float64(r.Side), float64(paper.Side), "trained on images of side %g instead of %g"},
		{float64(r.TrainImages), float64(paper.TrainImages), "trained on %.10g images instead of %.10g"},
		{float64(r.Cutout), float64(paper.Cutout), "cutout of %g pixels instead of %g"},
		{r.DropPath, paper.DropPath, "drop path to %g instead of %g"},
		{r.AuxiliaryWeight, paper.AuxiliaryWeight, "an auxiliary weight of %g instead of %g"},
	} {
		if m.ours != m.paper {
			all = append(all, fmt.Sprintf(m.what, m.ours, m.paper))
		}
	}
	if images, _ := k.Provenance.StandIns(); images {
		all = append(all, fmt.Sprintf("trained on %s images instead of CIFAR-10", k.Provenance.Images))
	}
	if r.Augment != "" && k.Form != results.FormImageNet {
		all = append(all, strings.TrimSuffix(r.Augment, "."))
	}
	return all
}
