# The paper's tables: its datasets side by side, and beside what its abstract claims.
#
#     snakemake -s workflow/paper.smk --cores 8
#
# Runs both experiments and compares them. Another file for one of them: --config cityscapes=FILE.
import os
import shlex
import sys

from snakemake.utils import min_version

min_version("9.20")

# Planning needs paumer even where only the rules' environments have it installed.
ROOT = os.path.normpath(f"{workflow.current_basedir}/..")
sys.path.insert(0, ROOT)

from paumer.system import locks
from paumer.system.errors import exit_on_user_error
from paumer.config.base import read_yaml

FILES = {
    name: config.get(name, f"{ROOT}/workflow/experiments/{name}.yaml")
    for name in ("cityscapes", "ade20k")
}


def experiment(name):
    """The configuration of one experiment."""
    with exit_on_user_error():
        return read_yaml(str(FILES[name]))[0]


module cityscapes:
    snakefile:
        "../Snakefile"
    config:
        experiment("cityscapes")


use rule * from cityscapes as cityscapes_*


module ade20k:
    snakefile:
        "../Snakefile"
    config:
        experiment("ade20k")


use rule * from ade20k as ade20k_*


onstart:
    with exit_on_user_error():
        for manifest in (
            rules.cityscapes_data.output.manifest,
            rules.ade20k_data.output.manifest,
        ):
            locks.hold_run(os.path.dirname(manifest))


def experiments(wildcards, input):
    """Each experiment's file and its main table."""
    return " ".join(
        f"--experiment {shlex.quote(file)} --main {shlex.quote(table)}"
        for file, table in zip(input.files, input.tables)
    )


def folder(wildcards, output):
    """Folder of the paper's tables."""
    return os.path.dirname(output[0])


rule paper:
    default_target: True
    input:
        files=list(FILES.values()),
        tables=[
            rules.cityscapes_tables.output.main[0],
            rules.ade20k_tables.output.main[0],
        ],
        reports=[rules.cityscapes_all.input, rules.ade20k_all.input],
        figures=[
            rules.cityscapes_figures_paper.output,
            rules.ade20k_figures_paper.output,
        ],
        published=f"{ROOT}/results/reference/published.csv",
        segmenter=f"{ROOT}/results/reference/segmenter.yaml",
    output:
        expand(
            "results/paper/{name}",
            name=["paper.md", "claims.csv", "dense.csv", "methods.csv", "choices.csv"],
        ),
    log:
        "logs/paper.log",
    conda:
        "../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        experiments=experiments,
        folder=folder,
    message:
        "Comparing with the paper's claims"
    shell:
        "paumer paper {params.experiments} --published {input.published:q}"
        " --segmenter {input.segmenter:q} --output {params.folder:q} > {log:q} 2>&1"
