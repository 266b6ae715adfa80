"""What the figures of the report show, in words: for those who cannot see them, and below them."""

OVERVIEW = (
    "mIoU against images per second: a line for each family of methods, a star for the dense network, and a shaded "
    "region for what is claimed of PAUMER",
    "Each method by the best of its recipes, criteria and schedules, at the largest batch. Bars: 95% interval of the "
    "speed-up, and spread over seeds. The region is that of the claim of the abstract, which is of other data and "
    "another network: as fast or faster, with as small a drop from the dense network here.",
)
# name: (what a reader who cannot see it should know, what stands below it)
FIGURES = {
    "pareto_speed": (
        "Scatter plot of mIoU against images per second for every operating point, with the Pareto front",
        "mIoU against images/s. Bars: 95% interval of the speed-up, spread over seeds. Pale points are dominated. "
        "Hollow ones choose by the ground truth, and are no competitors. Thin lines join the best of each method. The "
        "open diamond lies where the published claim would, counted from this dense network.",
    ),
    "cost_spread": (
        "Scatter plot of mIoU against mean GMAC and its spread, of operating points whose cost depends on the image",
        "Where the cost depends on the image: mean GMAC, and bars from the 5th to the 95th percentile over the images.",
    ),
    "drop_per_class": (
        "Bar plot of the drop of each class, by criterion",
        "Drop of each class at the schedule whose speed-up is nearest the claimed one. Bars: spread over seeds.",
    ),
    "throughput_batch": (
        "Line plots of images per second, and of the latency of one batch, against batch size",
        "images/s and the latency of one batch against batch size, for dense and a few schedules. Bars: 95% interval "
        "of the speed-up.",
    ),
    "speedup_gmac": (
        "Scatter plots of measured speed-up against the ratio of GMAC, at the smallest and the largest batch",
        "Measured speed-up against GMAC ratio. Below the diagonal, saved computation saved no time.",
    ),
    "floor_overhead": (
        "Plot of the time over floor of every pausing schedule, by batch size, with a line at 1",
        "Time over floor of every pausing schedule, from the mildest to the strongest, with its 95% interval. At 1 "
        "heads, choosing, gather and write-back would be free.",
    ),
    "training": (
        "Line plot of training loss against steps",
        "Training loss of every run, one line per seed.",
    ),
}
# Those of networks with auxiliary heads that pause.
SEMANTICS = {
    "semantics_composition": (
        "Dot plots of the share of each class that pauses, and of its share among all patches that pause",
        "Left: how much of each class pauses, by the class of most pixels of a patch. Right: what pauses, by class. "
        "Error bars: spread over seeds.",
    ),
    "semantics_uniform": (
        "Line plots of the share of paused and of running patches with a label of one class, against the paused share",
        "Share of the patches whose labelled pixels all have one class, among those that pause and those that run on.",
    ),
    "semantics_boundary": (
        "Plots of mean entropy and error against the distance to a boundary, and of that distance among paused patches",
        "Left and middle: mean entropy of the heads, and their errors, by the distance from the centre of a patch to "
        "the nearest boundary between classes, in sides of a patch. Right: mean distance of what pauses and runs on.",
    ),
    "semantics_correlation": (
        "Line plots of the rank correlation and the AUROC of criteria with errors and gain, by block",
        "Left: rank correlation of criteria with the error of the head, of the final prediction, and the gain (one "
        "minus the other: what running on saves). Right: how well criteria tell patches where these are above 0.",
    ),
}
PAUSE_MAPS = (
    "Rows of example images: image, entropy map, paused patches, prediction and ground truth",
    "For each image: the image, the entropy that the auxiliary head sees, what paused where, the prediction with "
    "pausing, and the ground truth.",
)
SAMPLES = ("Nine images with their label maps", "Nine training images, labels below each.")
