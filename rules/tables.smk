rule tables:
    input:
        ancient(JOBS.waits_for("tables")),
    output:
        "ledger/states/tables/study.json",
    log:
        "logs/tables/study.log",
    benchmark:
        "benchmarks/tables/study.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("tables"),
    script:
        "../scripts/tables.py"
