package verify

import "regexp"

// kinds lists what can be verified. A case is of the first kind whose pattern
// matches its name.
var kinds = []kind{
	{
		name: "forward", pattern: "forward_*", network: forward,
		// The spectrum is computed as that of a symmetric matrix, and is real.
		background: regexp.MustCompile(`^hessian_max_imag$`),
	},
	{name: "forward, full size", pattern: "big_*", network: fullSize},
	{name: "steps of darts", pattern: "steps_darts_*", network: steps("darts", "darts")},
	{
		name: "steps of darts-2nd", pattern: "steps_darts2_*", network: steps("darts-2nd", "darts2"),
		// The released code has no loss of the architecture step to record.
		background: regexp.MustCompile(`^step_info\[\d+\]\.arch_loss$`),
	},
	{name: "steps of sdarts-rs", pattern: "steps_sdarts_rs_*", network: steps("sdarts-rs", "sdarts_rs")},
	{name: "steps of sdarts-adv", pattern: "steps_sdarts_adv_*", network: steps("sdarts-adv", "sdarts_adv")},
	{name: "steps of gdas", pattern: "steps_gdas_*", network: steps("gdas", "gdas")},
	{name: "steps of nasp", pattern: "steps_nasp_*", network: steps("nasp", "nasp")},
	{name: "steps of pc-darts-adv", pattern: "steps_pcdarts_adv_*", network: steps("pc-darts-adv", "pcdarts_adv")},
	{name: "steps of pc-darts", pattern: "steps_pcdarts_*", network: steps("pc-darts", "pcdarts")},
	{
		name: "enas", pattern: "enas_s[123]", network: enas,
		// Where the released code records no logits, it says so.
		background: regexp.MustCompile(`^controller_info\[\d+\]\.eval_logits$`),
	},
	{
		name: "attack", pattern: "pgd_unit", network: attacks,
		// A supernet here has no mode to be left in: every pass is told its own.
		background: regexp.MustCompile(`\.training_mode_after$`),
	},
	{name: "simplex clip", pattern: "clip_rows", host: clipRows},
	{
		name: "schedules", pattern: "schedules", host: schedules,
		// PyTorch's get_lr, which is not the rate it uses (quirk Q2).
		background: regexp.MustCompile(`^schedules\.get_lr_returned_torch113$`),
	},
	{name: "augmentation", pattern: "augment", host: augmentations, tolerance: 1e-6}, // float32 there
	{
		name: "derivation", pattern: "derive_s[123]", host: derivations,
		background: regexp.MustCompile(`\.note$`),
	},
	{
		name: "cell hash", pattern: "nb101_hash", host: hashes,
		background: regexp.MustCompile(`\.worked_example$`),
	},
	{
		name: "enumeration", pattern: "enumeration", host: enumerations,
		// The generator's hashes are counted among those of the space.
		background: regexp.MustCompile(`\.only_without$`),
	},
	{
		name: "benchmark records", pattern: "tfrecord_synthetic", host: records,
		// What the benchmark does not report of a run, and checksums of texts that
		// are in no file: those of the records are checked by importing them.
		background: regexp.MustCompile(`\.(repeat_id|total_time|current_epoch)$|\.evaluation_data\[0\]\.|^crc_test_vectors`),
	},
}
