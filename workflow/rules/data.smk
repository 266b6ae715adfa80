rule data:
    output:
        manifest=f"{RESULTS}/data.json",
    log:
        f"{LOGS}/data.log",
    conda:
        "../../envs/paumer.yaml"
    threads: ALL_CORES
    resources:
        expected_seconds=lambda wildcards, threads: DURATIONS.data(threads),
        mem_mb=2000,
    params:
        settings=text(experiment.data),
        # Where the data itself changed, the stage runs again, and all that rests on it.
        state=lambda wildcards: data_state(rules.data.output.manifest),
    message:
        f"Preparing and checking dataset {experiment.data.dataset}"
    shell:
        "paumer data --settings {params.settings:q} --output {output.manifest:q} --threads {threads} > {log:q} 2>&1"
