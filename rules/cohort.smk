rule cohort:
    input:
        ancient(JOBS.waits_for("cohort")),
    output:
        "ledger/states/cohort/study.json",
    log:
        "logs/cohort/study.log",
    benchmark:
        "benchmarks/cohort/study.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        key=JOBS.key_of("cohort"),
    script:
        "../scripts/cohort.py"
