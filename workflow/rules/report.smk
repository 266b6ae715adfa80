# What takes seconds is a local rule: on a cluster it runs where Snakemake runs.
# The figures that the report shows.
FIGURES = ["throughput_batch", "speedup_gmac", "floor_overhead"]
if TRAINS:
    FIGURES += [
        "overview",
        "pareto_speed",
        "cost_spread",
        "drop_per_class",
        "training",
    ]
if COMPARED:
    FIGURES += ["drop_speedup"]
if PAUSES:
    FIGURES += [
        "semantics_composition",
        "semantics_uniform",
        "semantics_boundary",
        "semantics_correlation",
        "semantics_calibration",
    ]
# For a paper, in the sizes of paumer/reporting/figures/drawing.py, which only `snakemake figures_paper` makes.
PAPER = f"{RESULTS}/figures/paper/{{figure}}_{{columns}}.pdf"


rule tables:
    input:
        accuracy=rules.collect_accuracy.output.table,
        flops=rules.flops.output.table,
        throughput=rules.throughput.output.table,
        bounds=rules.bounds.output.table,
        manifest=rules.data.output.manifest,
        published=local(PUBLISHED),
        intervals=rules.uncertainty.output.table,
        select=rules.collect_select.output if experiment.data.select_split else [],
        chosen=COMPARED[:1],
        transferred=COMPARED[1:],
        robustness=(
            rules.collect_robustness.output if experiment.robustness.sweep else []
        ),
        attribution=(
            runs(f"{RUN}/semantics/attribution.csv", ["paumer"]) if PAUSES else []
        ),
        calibration=(
            runs(f"{RUN}/semantics/calibration.csv", ["paumer"]) if PAUSES else []
        ),
    output:
        main=multiext(f"{RESULTS}/tables/main", ".csv", ".md", ".tex"),
        headline=multiext(f"{RESULTS}/tables/headline", ".csv", ".md", ".tex"),
        methods=multiext(f"{RESULTS}/tables/methods", ".csv", ".md", ".tex"),
        classes=multiext(f"{RESULTS}/tables/classes", ".csv", ".md", ".tex"),
        drops=multiext(f"{RESULTS}/tables/drops", ".csv", ".md", ".tex"),
        bounds=multiext(f"{RESULTS}/tables/bounds", ".csv", ".md", ".tex"),
        criteria=multiext(f"{RESULTS}/tables/criteria", ".csv", ".md", ".tex"),
        published=multiext(f"{RESULTS}/tables/published", ".csv", ".md"),
        attribution=multiext(f"{RESULTS}/tables/attribution", ".csv", ".md"),
        calibration=(
            multiext(f"{RESULTS}/tables/calibration", ".csv", ".md", ".tex")
            if PAUSES
            else []
        ),
        robustness=(
            multiext(f"{RESULTS}/tables/robustness", ".csv", ".md", ".tex")
            if experiment.robustness.sweep
            else []
        ),
        equal_speed=(
            multiext(f"{RESULTS}/tables/equal_speed", ".csv", ".md", ".tex")
            if COMPARED
            else []
        ),
        transfer=(
            multiext(f"{RESULTS}/tables/transfer", ".csv", ".md", ".tex")
            if COMPARED[1:]
            else []
        ),
    log:
        f"{LOGS}/tables.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        folder=output_folder,
        attribution=repeated("--attribution", "attribution"),
        calibration=repeated("--calibration", "calibration"),
        more=further_tables,
    message:
        "Joining accuracy, GMAC and images/s into the tables"
    shell:
        "paumer tables --accuracy {input.accuracy:q} --flops {input.flops:q} --throughput {input.throughput:q}"
        " --bounds {input.bounds:q} --published {input.published:q} --data {input.manifest:q} {params.attribution}"
        " {params.calibration}"
        " {params.more}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule ablation:
    input:
        accuracy=rules.collect_accuracy.output.table,
        variants=runs(f"{RUN}/accuracy.csv", ABLATIONS),
    output:
        multiext(f"{RESULTS}/tables/ablation", ".csv", ".md", ".tex"),
    log:
        f"{LOGS}/ablation.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        variants=repeated("--variant", "variants"),
        folder=output_folder,
    message:
        "Comparing recipe paumer with its ablations"
    shell:
        "paumer ablation --accuracy {input.accuracy:q} {params.variants} --output {params.folder:q} > {log:q} 2>&1"


rule speed:
    input:
        flops=rules.flops.output.table,
        throughput=rules.throughput.output.table,
    output:
        multiext(f"{RESULTS}/tables/speed", ".csv", ".md"),
    log:
        f"{LOGS}/speed.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        folder=output_folder,
    message:
        "Putting images/s in every setting beside GMAC"
    shell:
        "paumer speed --flops {input.flops:q} --throughput {input.throughput:q} --output {params.folder:q}"
        " > {log:q} 2>&1"


rule samples:
    input:
        manifest=rules.data.output.manifest,
        colours=rules.colours.output.colours,
    output:
        picture=f"{RESULTS}/figures/samples.png",
    log:
        f"{LOGS}/samples.log",
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        split=train_split,
    message:
        "Drawing nine samples"
    shell:
        "paumer samples --data {input.manifest:q} --split {params.split:q} --output {output.picture:q} > {log:q} 2>&1"


rule maps:
    input:
        manifest=rules.data.output.manifest,
        colours=rules.colours.output.colours,
        weights=expand(
            f"{RUN}/model.safetensors",
            backbone=experiment.main_backbones[0].name,
            recipe="paumer",
            seed=experiment.seeds[0],
        ),
        run=expand(
            f"{RUN}/run.json",
            backbone=experiment.main_backbones[0].name,
            recipe="paumer",
            seed=experiment.seeds[0],
        ),
    output:
        picture=f"{RESULTS}/figures/pause_maps.png",
        viewer=f"{RESULTS}/figures/pause_maps.json",
    log:
        f"{LOGS}/maps.log",
    priority: 2
    conda:
        "../../envs/paumer.yaml"
    threads: GPU_CORES
    resources:
        mem_mb=4000,
    params:
        settings=text(stages.MapsSettings.of(experiment)),
        folder=run_folder,
    message:
        "Drawing what pauses where"
    shell:
        "paumer maps --settings {params.settings:q} --data {input.manifest:q} --run {params.folder:q}"
        " --output {output.picture:q} --threads {threads} > {log:q} 2>&1"


use rule maps as maps_paper with:
    output:
        picture=expand(PAPER, figure="pause_maps", columns="two_columns"),
    log:
        f"{LOGS}/maps_paper.log",
    message:
        "Drawing what pauses where, for a paper"


rule figures:
    input:
        table=rules.tables.output.main[0] if TRAINS else rules.speed.output[0],
        accuracy=[rules.collect_accuracy.output.table] if TRAINS else [],
        logs=runs(f"{RUN}/train.csv"),
        semantics=runs(SEMANTICS, ["paumer"]) if PAUSES else [],
        equal_speed=rules.tables.output.equal_speed[:1],
    output:
        expand(
            f"{RESULTS}/figures/{{figure}}.{{ending}}",
            figure=FIGURES,
            ending=["png", "csv"],
        ),
        f"{RESULTS}/figures/overview.svg" if TRAINS else [],
    log:
        f"{LOGS}/figures.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        expected_seconds=30,
        mem_mb=1000,
    params:
        folder=output_folder,
        accuracy=repeated("--accuracy", "accuracy"),
        logs=repeated("--log", "logs"),
        semantics=repeated("--semantics", "semantics", folders=True),
        equal_speed=repeated("--equal-speed", "equal_speed"),
        format="",
    message:
        "Drawing the plots"
    shell:
        "paumer figures --table {input.table:q} {params.accuracy} {params.logs} {params.semantics} {params.equal_speed}"
        " {params.format}"
        " --output {params.folder:q} > {log:q} 2>&1"


use rule figures as figures_paper with:
    input:
        table=rules.figures.input.table,
        accuracy=rules.figures.input.accuracy,
        logs=rules.figures.input.logs,
        semantics=rules.figures.input.semantics,
        equal_speed=rules.figures.input.equal_speed,
        # Only so that this target makes all that a paper shows.
        maps=rules.maps_paper.output if PAUSES else [],
    output:
        expand(
            PAPER,
            figure=FIGURES + ["pareto_gmac"] * TRAINS,
            columns=["one_column", "two_columns"],
        ),
    log:
        f"{LOGS}/figures_paper.log",
    params:
        folder=output_folder,
        accuracy=repeated("--accuracy", "accuracy"),
        logs=repeated("--log", "logs"),
        semantics=repeated("--semantics", "semantics", folders=True),
        equal_speed=repeated("--equal-speed", "equal_speed"),
        format="--paper",
    message:
        "Drawing the plots for a paper"


rule report:
    input:
        tables=rules.tables.output,
        speed=rules.speed.output,
        ablation=rules.ablation.output if experiment.ablations else [],
        figures=rules.figures.output,
        samples=rules.samples.output,
        maps=rules.maps.output if PAUSES else [],
        flops=rules.flops.output.table,
        throughput=rules.throughput.output.table,
        machine=rules.throughput.output.machine,
        manifest=rules.data.output.manifest,
        runs=runs(f"{RUN}/run.json"),
        measured=[
            rules.collect_accuracy.output.table,
            rules.bounds.output.table,
            rules.throughput.output.rounds,
            *runs(f"{RUN}/train.csv"),
        ],
    output:
        page=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        folder=output_folder,
        runs=repeated("--run", "runs"),
    message:
        "Writing the report"
    shell:
        "paumer report {params.folder:q} {params.runs} > {log:q} 2>&1"
