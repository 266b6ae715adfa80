rule data:
    output:
        manifest=MANIFEST,
    log:
        f"{LOGS}/data.log",
    conda:
        "../../envs/paumer.yaml"
    threads: ALL_CORES
    resources:
        expected_seconds=data_seconds,
        mem_mb=2000,
    params:
        settings=text(experiment.data),
        # Where the data itself changed, the stage runs again, and all that rests on it.
        state=data_state,
    message:
        f"Preparing and checking dataset {experiment.data.dataset}"
    shell:
        "paumer data --settings {params.settings:q} --output {output.manifest:q} --threads {threads} > {log:q} 2>&1"


# Apart from the data, so that other colours draw pictures again, and train and measure nothing.
rule colours:
    input:
        manifest=rules.data.output.manifest,
    output:
        colours=f"{RESULTS}/colours.json",
    log:
        f"{LOGS}/colours.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    params:
        state=class_colours,
    message:
        "Writing the colours of the classes"
    shell:
        "paumer colours --data {input.manifest:q} --output {output.colours:q} > {log:q} 2>&1"
