import { defineConfig } from "drizzle-kit";

// What the platform has: nothing here knows of Tutorwatch.
export default defineConfig({
  dialect: "postgresql",
  schema: "./schema.ts",
  out: "./pulled",
  dbCredentials: { url: process.env.DATABASE_URL! },
  verbose: true,
});
