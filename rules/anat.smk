rule anat:
    input:
        ancient(JOBS.waits_for("anat")),
    output:
        f"ledger/states/anat/{SESSION}.json",
    log:
        f"logs/anat/{SESSION}.log",
    benchmark:
        f"benchmarks/anat/{SESSION}.tsv"
    # Far the longest stage of a session, and the reference's is waited for: cores end together.
    priority: 1
    group:
        "session_{subject}_{session}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        key=JOBS.key_of("anat"),
    script:
        "../scripts/anat.py"
