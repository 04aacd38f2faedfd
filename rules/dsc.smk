rule dsc:
    input:
        ancient(JOBS.waits_for("dsc")),
    output:
        f"ledger/states/dsc/{SESSION}.json",
    log:
        f"logs/dsc/{SESSION}.log",
    benchmark:
        f"benchmarks/dsc/{SESSION}.tsv"
    group:
        "session_{subject}_{session}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("dsc"),
    script:
        "../scripts/dsc.py"
