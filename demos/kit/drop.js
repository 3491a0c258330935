/**
 * Files dropped anywhere on a page.
 *
 *   onDrop($('over'), (files) => open(files));
 *
 * @param {HTMLElement} over shown while files hang over the page
 * @param {(files: File[]) => void} take
 */
export function onDrop(over, take) {
    let depth = 0; // dragenter minus dragleave
    const carries = (/** @type {DragEvent} */ e) => e.dataTransfer?.types.includes('Files') ?? false;
    const change = (/** @type {number} */ by) => { depth = by ? Math.max(0, depth + by) : 0; over.hidden = depth === 0; };
    addEventListener('dragenter', (e) => { if (carries(e)) { e.preventDefault(); change(1); } });
    addEventListener('dragover', (e) => { if (carries(e)) e.preventDefault(); });
    addEventListener('dragleave', (e) => { if (carries(e)) change(-1); });
    addEventListener('drop', (e) => {
        if (!carries(e)) return;
        e.preventDefault();
        change(0);
        take([...(e.dataTransfer?.files ?? [])]);
    });
}
