# The pipeline at a glance:
#
#     data -> train -> evaluate, semantics -\
#         \-> bounds, flops, throughput -----> tables, speed -> figures -> report
#
# `snakemake --cores 8 all` runs the experiment in config.yaml; `--configfile workflow/experiments/NAME.yaml` another.
from snakemake.utils import min_version

min_version("9.0")


# An experiment file stands alone: config.yaml is no base for it.
if not workflow.config_settings.configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/locks.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"


# Seconds each: on a cluster they run where Snakemake runs.
localrules:
    collect_accuracy,
    tables,
    ablation,
    speed,
    figures,
    report,


rule all:
    default_target: True
    input:
        rules.speed.output,
        rules.figures.output,
        (
            [
                rules.report.output.page,
                rules.tables.output,
                rules.collect_accuracy.output.table,
                rules.ablation.output if experiment.ablations else [],
            ]
            if TRAINS
            else []
        ),
