export type Demo = {
    path: string;
    title: string;
    summary: string;
    tags?: string[];
};
